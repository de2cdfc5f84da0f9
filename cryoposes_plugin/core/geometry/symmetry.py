"""Point groups as RELION and Scipion orient them.

Main axis along z, dihedral 2-fold along x, T with 3-fold along z, O with 4-fold along z, I
(RELION's and Xmipp's I2) with 2-folds along x, y, z. I1 is I2 turned by 90 degrees about z; I3 and
I4 have a 5-fold along z and a 2-fold in the plane y = 0, at x / z < 0 and at x / z > 0.
"""

from __future__ import annotations

import re
from typing import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from ..errors import ConfigError
from .rotations import angular_distance_rad
from .sampling import healpix_grid

#: HEALPix order of the grid over which distances are averaged.
_ORDER_OF_MEAN = 2
_GOLDEN = (1 + np.sqrt(5)) / 2


def _turn(axis: Sequence[float], order: int) -> np.ndarray:
    along = np.asarray(axis, dtype=np.float64)
    return Rotation.from_rotvec(along / np.linalg.norm(along) * 2 * np.pi / order).as_matrix()


def _generators(kind: str, order: int):
    if kind == "C":
        return [_turn([0, 0, 1], order)]
    if kind == "D":
        return [_turn([0, 0, 1], order), _turn([1, 0, 0], 2)]
    if kind == "T":
        return [_turn([0, 0, 1], 3), _turn([0.0, np.sqrt(2 / 3), np.sqrt(1 / 3)], 2)]
    if kind == "O":
        return [_turn([0, 0, 1], 4), _turn([1, 1, 1], 3)]
    if order in (3, 4):
        return [_turn([0, 0, 1], 5), _turn([1 if order == 4 else -1, 0, _GOLDEN], 2)]
    five_fold = [0, 1, _GOLDEN] if order == 1 else [1, 0, _GOLDEN]
    return [_turn([0, 0, 1], 2), _turn(five_fold, 5), _turn([1, 1, 1], 3)]


def parse_symmetry(name: str):
    """'d2' -> ('D', 2); C and D need an order, T and O have none, I may be I, I1, I2, I3 or
    I4. ConfigError otherwise.
    """
    text = str(name).strip().upper()
    match = re.fullmatch(r"(?:([CD])([1-9]\d?)|(T|O)|(I)([1-4])?)", text)
    if match is None:
        raise ConfigError(
            f"Symmetry {name!r} is unknown; use C1, Cn, Dn, T, O or I1 to I4 (for example C4 "
            "or D2)."
        )
    if match.group(1):
        return match.group(1), int(match.group(2))
    return (match.group(3), 0) if match.group(3) else ("I", int(match.group(5) or 2))


def symmetry_rotations(name: str) -> np.ndarray:
    """(G, 3, 3) rotations g of the group, the identity first; V(g x) = V(x)."""
    group = [np.eye(3)]
    generators = _generators(*parse_symmetry(name))
    frontier = list(group)
    while frontier:
        found = []
        for element in frontier:
            for generator in generators:
                candidate = element @ generator
                if min(np.abs(candidate - g).max() for g in group) > 1e-6:
                    group.append(candidate)
                    found.append(candidate)
        frontier = found
    return np.array(group)


def nearest_equivalent(rotations: np.ndarray, targets: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Of the equivalent rotations A g, the one nearest to the target, for each of (N, 3, 3) -> (N,
    3, 3).
    """
    best = np.array(rotations, dtype=np.float64)
    traces = np.einsum("nij,nij->n", best, targets)
    for g in group[1:]:
        candidate = rotations @ g
        trace = np.einsum("nij,nij->n", candidate, targets)
        better = trace > traces
        best[better], traces[better] = candidate[better], trace[better]
    return best


def symmetric_distance_rad(a: np.ndarray, b: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Smallest geodesic distance over the group of (N, 3, 3) rotations -> (N,) radians."""
    return angular_distance_rad(nearest_equivalent(a, b, group), b)


def random_rotation_error_rad(group: np.ndarray) -> float:
    """Root mean square distance of a random rotation from the truth, up to the group (G, 3, 3):
    2.30 rad, or 132°, without symmetry.
    """
    grid = healpix_grid(_ORDER_OF_MEAN)
    distance = symmetric_distance_rad(grid, np.broadcast_to(np.eye(3), grid.shape), group)
    return float(np.sqrt(np.mean(distance**2)))
