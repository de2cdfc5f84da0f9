"""The beam, found from copies of images that were turned in-plane or mirrored by known amounts.

Distances give the rotations as R = P A Q or R = P A^-1 Q, with P and Q unknown. Q is the free rotation of the volume; P
moves the beam and must go. A copy of an image has A' = T A with a known T: Rz(psi), Ry(pi), or both (see
`conventions`). So

    R' R^T = P T P^T           or, for the inverse,   R'^T R = Q^T T^T Q,

a rotation about one common axis, whatever the image: which of the two holds tells R from R^-1, and its axes tell P (of
R), or Q^T (of R^-1). Turned copies show P z, mirrored ones P y up to its sign; the sign is the hand, which images
cannot tell. What is left is A -> A g, and A -> Rz(pi) A g of the other hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from ..conventions import mirror, turn_in_plane
from ..geometry.rotations import angular_distance_rad

_STARTS = 300
_KEPT_STARTS = 4


@dataclass(frozen=True)
class Beam:
    """Physical rotations are frame^T R, or frame^T R^-1.

    The residuals are the copies' median distance from where they should be, under this choice and under the other one.
    """

    frame: np.ndarray
    inverted: bool
    median_residual_rad: float
    other_median_residual_rad: float

    def apply(self, rotations: np.ndarray) -> np.ndarray:
        """(N, 3, 3) recovered rotations -> A g, with one unknown rotation g of the volume, of one of the two hands."""
        rotations = np.asarray(rotations, dtype=np.float64)
        return self.frame.T @ (np.swapaxes(rotations, 1, 2) if self.inverted else rotations)


def fix_beam(
    images: np.ndarray, copies: np.ndarray, psi_rad: np.ndarray, mirrored: np.ndarray, *, seed: int = 0
) -> Beam:
    """Find P and the choice between R and R^-1.

    Parameters
    ----------
    images, copies : (M, 3, 3) recovered rotations of images and of their copies, from one recovery.
    psi_rad : (M,) angle by which each copy was turned counter-clockwise; after its x was flipped, where it was.
    mirrored : (M,) bool, whether it was flipped. Both turned and mirrored copies are needed.
    """
    images, copies = np.asarray(images, dtype=np.float64), np.asarray(copies, dtype=np.float64)
    turns = known_turns(psi_rad, mirrored)
    if not len(images) == len(copies) == len(turns):
        raise ValueError(
            f"expected as many copies as images and angles, received {len(copies)}, {len(images)}, {len(turns)}"
        )
    _check_turns(np.asarray(psi_rad, dtype=np.float64), np.asarray(mirrored, dtype=bool))
    found = []
    for inverted in (False, True):
        a, b = (np.swapaxes(r, 1, 2) if inverted else r for r in (images, copies))
        seen = b @ np.swapaxes(a, 1, 2)
        frame = _fit_frame(seen, turns, np.random.default_rng(seed))
        found.append((float(np.median(angular_distance_rad(frame @ turns @ frame.T, seen))), inverted, frame))
    (best, inverted, frame), (other, _, _) = sorted(found, key=lambda result: result[0])
    return Beam(frame, inverted, best, other)


def known_turns(psi_rad, mirrored) -> np.ndarray:
    """(M, 3, 3) T with A' = T A, of copies flipped (where mirrored) and then turned by psi."""
    mirrored = np.asarray(mirrored, dtype=bool)
    identity = np.broadcast_to(np.eye(3), (len(mirrored), 3, 3))
    return turn_in_plane(np.where(mirrored[:, None, None], mirror(identity), identity), psi_rad)


def _check_turns(psi: np.ndarray, mirrored: np.ndarray) -> None:
    if not mirrored.any():
        raise ValueError("expected mirrored copies as well; without them an in-plane angle of all images stays open")
    if mirrored.all() or np.abs(np.sin(psi[~mirrored])).max() < 0.1:
        raise ValueError(
            "expected copies turned in-plane, by other angles than 0 and 180 degrees; they tell the beam's direction"
        )


def _fit_frame(seen: np.ndarray, turns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """P (3, 3) that makes P T P^T nearest to what is seen, robustly: the best of many starts, then least squares."""
    candidates = Rotation.random(_STARTS, random_state=rng.integers(2**31)).as_matrix()
    part = rng.permutation(len(seen))[:_STARTS]
    costs = [_residuals(np.zeros(3), p, seen[part], turns[part])[1] for p in candidates]
    results = []
    for index in np.argsort(costs)[:_KEPT_STARTS]:
        base = candidates[index]
        for _ in range(2):
            fit = least_squares(
                lambda v, base=base: _residuals(v, base, seen, turns)[0].ravel(),
                np.zeros(3),
                loss="soft_l1",
                f_scale=0.3,
            )
            base = Rotation.from_rotvec(fit.x).as_matrix() @ base
        results.append((fit.cost, base))
    return min(results, key=lambda result: result[0])[1]


def _residuals(rotvec: np.ndarray, base: np.ndarray, seen: np.ndarray, turns: np.ndarray) -> Tuple[np.ndarray, float]:
    frame = Rotation.from_rotvec(rotvec).as_matrix() @ base
    difference = frame @ turns @ frame.T - seen
    return difference, float(np.linalg.norm(difference, axis=(1, 2)).sum())
