"""Which point group the shape of a volume has, or nearly has: how well it correlates with itself
about its best axes.

What is round in a volume agrees about any axis, so the means over spheres are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import numpy as np
from scipy import optimize
from scipy.spatial.transform import Rotation

from ..geometry.sampling import half_sphere
from ..maps.alignment import MapTransform, sphere_points
from .starts import without_spherical_mean

#: The volume has an axis if its correlation with itself about it is at least the first, and nearly
#: has it from the second on.
HAS_AXIS, NEARLY = 0.9, 0.75
#: Orders of the axes that are looked for.
_ORDERS = (2, 3, 4, 5, 6, 7)
#: Axes of the scan, about 9° apart; how many of each order are refined, in steps of so many radians.
_AXES, _REFINED, _STEP_RAD, _EVALUATIONS = 400, 3, 0.08, 40
#: Two-fold axes that are tried across the main axis.
_ACROSS = 90
#: |cos| of the angle between the 2-fold and the 3-fold axes of T: 0.577; of D3 and C6: 0 and 1.
_TETRAHEDRAL = (0.4, 0.75)


@dataclass(frozen=True)
class OwnSymmetry:
    """The group of highest order whose axes the volume has, "C1" if none, and the correlation about
    the best axis of each order.
    """

    group: str
    correlations: Dict[int, float]

    def sentence(self) -> Optional[str]:
        """What to do about it; None if the volume is not even nearly symmetric."""
        if self.group != "C1":
            value = min(v for v in self.correlations.values() if v >= HAS_AXIS)
            return (
                f"The volume looks like {self.group}: it correlates with itself by {value:.2f} or "
                "more about the axes, up to where the search sees. If the particle has this "
                "symmetry, give it; if not, poses may be those of a mate (relax-symmetry)."
            )

        lowest, best = min(self.correlations.values()), max(self.correlations.values())
        if best < NEARLY:
            return None
        if lowest >= NEARLY:
            return (
                "The volume is nearly round about an axis (its correlation with itself about axes "
                f"of all orders is {lowest:.2f} or more): poses may be wrong about this axis."
            )
        order = max(n for n, value in self.correlations.items() if value >= max(NEARLY, best - 0.1))
        return (
            f"The volume is nearly C{order} (its correlation with itself about an axis is "
            f"{self.correlations[order]:.2f}): some poses may be those of one of {order} mates "
            "about this axis, and such a mixture smears what differs between them."
        )


def own_symmetry(data: np.ndarray, last_shell: int) -> OwnSymmetry:
    """Of a volume (D, D, D), up to a shell. A volume that has axes of orders that do not belong to
    one group, such as a tube, gets "C1".
    """
    turned = _Turned(data, last_shell)
    found = {order: turned.best_axis(order) for order in _ORDERS}
    correlations = {order: value for order, (value, _) in found.items()}
    has = [order for order, value in correlations.items() if value >= HAS_AXIS]
    axes = {order: found[order][1] for order in has}
    return OwnSymmetry(_group(turned, axes), correlations)


def _group(turned: _Turned, axes: Dict[int, np.ndarray]) -> str:
    """The group that has axes of these orders."""
    if not axes:
        return "C1"
    orders, main = set(axes), max(axes)
    if orders == {2, 3, 5}:
        return "I"
    if orders == {2, 3, 4}:
        return "O"
    if orders == {2, 3}:
        low, high = _TETRAHEDRAL
        return "T" if low < abs(axes[2] @ axes[3]) < high else "D3"
    if any(main % order and order != 2 for order in orders):
        return "C1"
    return ("D" if turned.across(axes[main]) >= HAS_AXIS else "C") + str(main)


class _Turned:
    """The correlation of a volume with itself after turns."""

    def __init__(self, data: np.ndarray, last_shell: int):
        self._k = sphere_points(last_shell)
        self._transform = MapTransform(without_spherical_mean(data))
        self._values = self._transform.at(self._k)

    def about(self, axes: np.ndarray, order: int) -> np.ndarray:
        """(A,) about unit vectors (A, 3), the lowest over the turns of the axis."""
        lowest = np.ones(len(axes))
        for times in range(1, order // 2 + 1):
            turns = Rotation.from_rotvec(axes * (2 * np.pi * times / order)).as_matrix()
            moved = self._transform.at(self._k @ turns)
            norm = np.linalg.norm(moved, axis=1) * np.linalg.norm(self._values)
            correlation = (moved @ self._values.conj()).real / np.maximum(norm, 1e-30)
            lowest = np.minimum(lowest, correlation)
        return lowest

    def best_axis(self, order: int) -> Tuple[float, np.ndarray]:
        """The correlation about the best axis, and the axis."""
        axes = half_sphere(_AXES)
        best = np.argsort(-self.about(axes, order))[:_REFINED]
        refined = [self._refined(axes[row], order) for row in best]
        return max(refined, key=lambda found: found[0])

    def _refined(self, axis: np.ndarray, order: int) -> Tuple[float, np.ndarray]:
        across = _across(axis)

        def moved(by: np.ndarray) -> np.ndarray:
            near = axis + by @ across
            return near / np.linalg.norm(near)

        simplex = _STEP_RAD * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        options = dict(initial_simplex=simplex, maxfev=_EVALUATIONS, xatol=3e-3, fatol=1e-3)
        found = optimize.minimize(
            lambda by: -self.about(moved(by)[None], order)[0],
            np.zeros(2),
            method="Nelder-Mead",
            options=options,
        )
        return -float(found.fun), moved(found.x)

    def across(self, axis: np.ndarray) -> float:
        """The correlation about the best 2-fold axis perpendicular to an axis."""
        first, second = _across(axis)
        angle = np.pi * np.arange(_ACROSS)[:, None] / _ACROSS
        return float(self.about(np.cos(angle) * first + np.sin(angle) * second, 2).max())


def _across(axis: np.ndarray) -> np.ndarray:
    """(2, 3) unit vectors perpendicular to an axis and to each other."""
    return np.linalg.svd(axis[None])[2][1:]
