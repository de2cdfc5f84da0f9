"""The direction of the beam, found from copies of images that were rotated in-plane or mirrored.

Distances give the rotations as R = P A Q or R = P A^-1 Q, with P and Q unknown. Q is the free
rotation of the volume, but P moves the beam and must be removed. A copy of an image has A' = T A
with a known T: Rz(psi), Ry(pi), or both (see `conventions`). So

    R' R^T = P T P^T           or, for the inverse,   R'^T R = Q^T T^T Q,

which is the same rotation for all images. Which of the two holds distinguishes R from R^-1, and the
axes of these rotations give P (for R) or Q^T (for R^-1). Rotated copies give P z, mirrored ones
give P y up to its sign. The sign is the hand, which images do not determine. The result is
determined up to A -> A g, and A -> Rz(pi) A g for the other hand.

A mirrored image is the view from the opposite side. A D2 particle shows this view also within the
quarter y, z > 0 of the sphere, after a half turn about x. A network trained on this quarter alone
gives A' = T A Rx(pi): R' is followed by a half turn about an axis that is unknown because Q is, and
that is found together with P.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from ..conventions import mirror, turn_in_plane
from ..geometry.rotations import angular_distance_rad

_STARTS, _STARTS_OF_HALF_TURN = 300, 3000
_KEPT_STARTS = 4
#: Number of copies on which the starts are compared.
_COMPARED_ON = 300


@dataclass(frozen=True)
class Beam:
    """Physical rotations are frame^T R, or frame^T R^-1.

    The residuals are the median distances of the copies from their expected rotations, under this
    choice and under the other one.
    """

    frame: np.ndarray
    inverted: bool
    median_residual_rad: float
    other_median_residual_rad: float

    def apply(self, rotations: np.ndarray) -> np.ndarray:
        """Turn recovered rotations (N, 3, 3) into A g, of either hand; g is an unknown rotation of
        the volume.
        """
        rotations = np.asarray(rotations, dtype=np.float64)
        return self.frame.T @ (np.swapaxes(rotations, 1, 2) if self.inverted else rotations)


def choose_beam_axis(
    images: np.ndarray,
    copies: np.ndarray,
    psi_rad: np.ndarray,
    mirrored: np.ndarray,
    *,
    half_turn: bool = False,
    seed: int = 0,
) -> Beam:
    """Find P and the choice between R and R^-1.

    Parameters
    ----------
    images, copies : (M, 3, 3) recovered rotations of images and of their copies, from one recovery.
    psi_rad : (M,) angle by which each copy was rotated counter-clockwise, after its x was flipped
        if it is mirrored.
    mirrored : (M,) bool, whether the copy was flipped. Both rotated and mirrored copies are needed.
    half_turn : whether the mirrored copies show the particle after a half turn about some axis.
    seed : of the random starts.
    """
    images, copies = np.asarray(images, dtype=np.float64), np.asarray(copies, dtype=np.float64)
    turns = known_turns(psi_rad, mirrored)
    if not len(images) == len(copies) == len(turns):
        raise ValueError(
            f"expected as many copies as images and angles, received {len(copies)}, {len(images)}, "
            f"{len(turns)}"
        )

    _check_turns(np.asarray(psi_rad, dtype=np.float64), np.asarray(mirrored, dtype=bool))
    moved = np.asarray(mirrored, dtype=bool) & half_turn
    found = []
    for inverted in (False, True):
        a, b = (np.swapaxes(r, 1, 2) if inverted else r for r in (images, copies))
        frame, off = _Problem(a, b, turns, moved).solve(np.random.default_rng(seed))
        found.append((float(np.median(off)), inverted, frame))
    (best, inverted, frame), (other, _, _) = sorted(found, key=lambda result: result[0])
    return Beam(frame, inverted, best, other)


def known_turns(psi_rad: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """(M, 3, 3) T with A' = T A for copies that were flipped (if mirrored) and then rotated by psi."""
    mirrored = np.asarray(mirrored, dtype=bool)
    identity = np.broadcast_to(np.eye(3), (len(mirrored), 3, 3))
    return turn_in_plane(np.where(mirrored[:, None, None], mirror(identity), identity), psi_rad)


def _check_turns(psi: np.ndarray, mirrored: np.ndarray) -> None:
    if not mirrored.any():
        raise ValueError(
            "expected mirrored copies as well; without them an in-plane angle of all images stays "
            "open"
        )
    if mirrored.all() or np.abs(np.sin(psi[~mirrored])).max() < 0.1:
        raise ValueError(
            "expected copies turned in-plane, by other angles than 0 and 180 degrees; they tell "
            "the beam's direction"
        )


@dataclass(frozen=True)
class _Problem:
    """P T P^T = copies h images^T, where h is a common half turn for the copies that are `moved`
    (M,), and the identity for the others.
    """

    images: np.ndarray
    copies: np.ndarray
    turns: np.ndarray
    moved: np.ndarray

    def solve(self, rng: np.random.Generator) -> Tuple[np.ndarray, np.ndarray]:
        """The robust estimate of P (3, 3), the best of many starts, and the distances of the copies
        from their expected rotations, in radians.
        """
        number = _STARTS_OF_HALF_TURN if self.moved.any() else _STARTS
        frames = Rotation.random(number, random_state=rng.integers(2**31)).as_matrix()
        part = self._some(rng.permutation(len(self.images))[:_COMPARED_ON])
        axes = rng.standard_normal((number, 3))
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
        costs = [
            np.linalg.norm(part._difference(*start), axis=(1, 2)).sum()
            for start in zip(frames, axes)
        ]

        _, frame, axis = min(
            (
                self._descend(frames[index], axes[index])
                for index in np.argsort(costs)[:_KEPT_STARTS]
            ),
            key=lambda result: result[0],
        )
        return frame, angular_distance_rad(frame @ self.turns @ frame.T, self._seen(axis))

    def _some(self, rows: np.ndarray) -> _Problem:
        return _Problem(self.images[rows], self.copies[rows], self.turns[rows], self.moved[rows])

    def _descend(self, frame: np.ndarray, axis: np.ndarray) -> Tuple[float, np.ndarray, np.ndarray]:
        start = np.zeros(6 if self.moved.any() else 3)

        def placed(v: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
            return Rotation.from_rotvec(v[:3]).as_matrix() @ frame, axis + v[3:] if len(
                v
            ) > 3 else axis

        for _ in range(2):
            fit = least_squares(
                lambda v: self._difference(*placed(v)).ravel(), start, loss="soft_l1", f_scale=0.3
            )
            frame, axis = placed(fit.x)
        return fit.cost, frame, axis

    def _difference(self, frame: np.ndarray, axis: np.ndarray) -> np.ndarray:
        return frame @ self.turns @ frame.T - self._seen(axis)

    def _seen(self, axis: np.ndarray) -> np.ndarray:
        half = 2 * np.outer(axis, axis) / (axis @ axis) - np.eye(3)
        back = np.where(self.moved[:, None, None], half, np.eye(3))
        return self.copies @ back @ np.swapaxes(self.images, 1, 2)
