"""The common frame of two sets of poses of the same particles: one rotation of the volume, and its
hand.

Two reconstructions of one particle agree up to a rotation g of the volume: A_estimate g = A_truth,
particle by particle, up to a symmetry operation s of the volume. So N = A_estimate^T A_truth is g s
for every particle, up to the errors, and arbitrary for outliers. g is the robust mean of these
modulo s. The N of some particles are tried as candidates; the best one is refined by chordal means
with weights that decrease with the residual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from ..conventions import opposite_hand
from ..geometry.rotations import angular_distance_rad, mean_rotation
from ..geometry.symmetry import nearest_equivalent, symmetric_distance_rad

HANDS = ("same", "opposite")

_CANDIDATES = 200
_SCORED_ON = 1000
_ITERATIONS = 100
_CONVERGED_RAD = 1e-10
#: Residuals below this get the same weight.
_SMALLEST_SCALE_RAD = 1e-6


@dataclass(frozen=True)
class Registration:
    """The rotation g (3, 3), and whether the estimate's hand was "same" or "opposite" (mirrored
    before turning).
    """

    rotation: np.ndarray
    hand: str
    median_residual_rad: float

    def apply(self, rotations: np.ndarray) -> np.ndarray:
        """(N, 3, 3) estimated rotations, brought into the frame of the truth. Shifts do not change."""
        rotations = np.asarray(rotations, dtype=np.float64)
        return (opposite_hand(rotations) if self.hand == "opposite" else rotations) @ self.rotation

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation g."""
        return float(np.rad2deg(angular_distance_rad(self.rotation, np.eye(3))))


def register(
    estimate: np.ndarray,
    truth: np.ndarray,
    group: np.ndarray,
    *,
    hands: Sequence[str] = ("same",),
    seed: int = 0,
) -> Registration:
    """Bring estimated poses into the frame of the true ones.

    Parameters
    ----------
    estimate, truth : (N, 3, 3) rotations A of the same N >= 1 particles.
    group : (G, 3, 3) symmetry operations of the truth's volume, the identity first.
    hands : which hands to try; the one with the smallest median residual is chosen.
    seed : of the draw of candidates.

    Returns
    -------
    The registration; of the G equal rotations the one with the smallest angle.
    """
    if len(estimate) != len(truth) or len(truth) == 0:
        raise ValueError(
            f"expected as many estimates as true poses, received {len(estimate)} and {len(truth)}"
        )
    found = [_register_hand(estimate, truth, group, hand, seed) for hand in hands]
    return min(found, key=lambda registration: registration.median_residual_rad)


def _register_hand(
    estimate: np.ndarray, truth: np.ndarray, group: np.ndarray, hand: str, seed: int
) -> Registration:
    estimate = np.asarray(estimate, dtype=np.float64)
    if hand == "opposite":
        estimate = opposite_hand(estimate)
    relative = np.swapaxes(estimate, 1, 2) @ np.asarray(truth, dtype=np.float64)
    rotation = _refine(_best_candidate(relative, group, seed), relative, group)
    rotation = nearest_equivalent(rotation[None], np.eye(3)[None], group)[0]
    return Registration(rotation, hand, float(np.median(_residuals(rotation, relative, group))))


def _best_candidate(relative: np.ndarray, group: np.ndarray, seed: int) -> np.ndarray:
    """The N of a particle (or the mean of all) that is closest to the others, by a sum that is
    robust to outliers.
    """
    rng = np.random.default_rng(seed)
    n = len(relative)
    candidates = relative[rng.choice(n, min(n, _CANDIDATES), replace=False)]
    candidates = np.concatenate([mean_rotation(relative)[None], candidates])
    judges = relative[rng.choice(n, min(n, _SCORED_ON), replace=False)].reshape(-1, 9)
    costs = []
    for candidate in candidates:
        traces = judges @ (candidate @ group).reshape(-1, 9).T
        costs.append(np.sqrt(np.clip(3.0 - traces.max(axis=1), 0, None)).sum())
    return candidates[int(np.argmin(costs))]


def _refine(rotation: np.ndarray, relative: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Chordal means of the representatives nearest to the current rotation, with Cauchy weights
    scaled by the median residual.
    """
    inverse_group = np.swapaxes(group, 1, 2)
    for _ in range(_ITERATIONS):
        nearest = nearest_equivalent(
            relative, np.broadcast_to(rotation, relative.shape), inverse_group
        )
        residuals = angular_distance_rad(nearest, rotation)
        scale = max(float(np.median(residuals)), _SMALLEST_SCALE_RAD)
        previous, rotation = (
            rotation,
            mean_rotation(nearest, weights=1.0 / (1.0 + (residuals / scale) ** 2)),
        )
        if angular_distance_rad(previous, rotation) < _CONVERGED_RAD:
            break
    return rotation


def _residuals(rotation: np.ndarray, relative: np.ndarray, group: np.ndarray) -> np.ndarray:
    return symmetric_distance_rad(relative, np.broadcast_to(rotation, relative.shape), group)
