"""The transform that takes one set of poses into another: a rotation of the map, its hand, and a
displacement.

If the map is turned by R and then moved by d against the frame of poses (A, t), the same images
have the poses A R and t + (A d)_xy in the frame of the map. If it is mirrored too, A is replaced by
Rz(pi) A Rz(pi) (see `conventions`). R is found by votes, so that most poses may be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np
from scipy.special import bdtrc

from ..conventions import opposite_hand
from ..geometry.rotations import angular_distance_rad, mean_rotation
from ..geometry.symmetry import nearest_equivalent, symmetric_distance_rad

#: Votes agree if they are this close; the angle is chosen at which their number is least likely to
#: be due to chance.
_ANGLES_RAD = np.deg2rad([4.0, 8.0, 16.0, 32.0])
#: The votes must be less likely by chance than this, and there must be so many of them, and such a
#: share.
_CHANCE, _FEWEST, _LEAST_SHARE = 1e-6, 5, 0.2
#: Fewer votes show that a map is similar if they are less likely than this: molecules of like
#: outlines reach 4e-7.
_CHANCE_OF_LIKENESS = 1e-8
#: Rotations that make the mirrors along z, x and y from the mirror along z.
_FLIPS = {"z": np.eye(3), "x": np.diag([-1.0, 1, -1]), "y": np.diag([1.0, -1, -1])}
#: A rotation is none if its angle is smaller than this plus its error, in standard errors; a
#: displacement likewise.
_LEAST_TURN_RAD, _ERRORS = np.deg2rad(3.0), 4.0
_LEAST_SHIFT_PX = 1.5


@dataclass(frozen=True)
class CommonFrame:
    """How the map lies in the frame of poses.

    Attributes
    ----------
    rotation : R (3, 3): the map, mirrored along z if `mirrored`, is turned by it ...
    shift_px : d (3,) (x, y, z): ... and then moved by this.
    mirrored : whether the poses are of the other hand.
    share : of the particles that agree with the transform.
    turn_error_rad, shift_error_px : standard errors.
    """

    rotation: np.ndarray
    shift_px: np.ndarray
    mirrored: bool
    share: float
    turn_error_rad: float
    shift_error_px: float

    @property
    def angle_rad(self) -> float:
        return float(angular_distance_rad(self.rotation, np.eye(3)))

    @property
    def turned(self) -> bool:
        """Whether the rotation is one; for the other hand: beside one of the three flips."""
        if self.mirrored:
            return self.flip is None
        return self.angle_rad > _LEAST_TURN_RAD + _ERRORS * self.turn_error_rad

    @property
    def moved(self) -> bool:
        length = float(np.linalg.norm(self.shift_px))
        return length > max(_LEAST_SHIFT_PX, _ERRORS * self.shift_error_px)

    @property
    def flip(self) -> Optional[str]:
        """The axis along which the map is flipped, if it is that and nothing else."""
        if not self.mirrored:
            return None
        limit = 2 * _LEAST_TURN_RAD + _ERRORS * self.turn_error_rad
        for axis, rotation in _FLIPS.items():
            if angular_distance_rad(self.rotation, rotation) < limit:
                return axis
        return None

    @property
    def same(self) -> bool:
        return not (self.mirrored or self.turned or self.moved)


def common_frame(
    given: Tuple[np.ndarray, np.ndarray],
    found: Tuple[np.ndarray, np.ndarray],
    group: np.ndarray,
    candidates: Optional[np.ndarray] = None,
    likeness: bool = False,
) -> Optional[CommonFrame]:
    """The transform from given poses to those found against a map, or None if there is none.

    Parameters
    ----------
    given, found : rotations (N, 3, 3) and shifts in pixels (N, 2) of the same particles.
    group : (G, 3, 3) symmetry operations of the map, the identity first.
    candidates : (N,) bool, particles whose votes may be right; default: all.
    likeness : whether few votes are enough. They say that the map is similar to what the images
        show, and no more.
    """
    rows = np.arange(len(given[0])) if candidates is None else np.flatnonzero(candidates)
    given, found = (given[0][rows], given[1][rows]), (found[0][rows], found[1][rows])
    if len(rows) < _FEWEST:
        return None

    least, fewest = _CHANCE, max(_FEWEST, _LEAST_SHARE * len(rows))
    if likeness:
        least, fewest = _CHANCE_OF_LIKENESS, _FEWEST
    best = None
    for mirrored in (False, True):
        own = opposite_hand(given[0]) if mirrored else np.asarray(given[0])
        votes = np.swapaxes(own, 1, 2) @ found[0]
        rotation, near, chance = _most_voted(votes, group)
        if chance >= least or near.sum() < fewest:
            continue
        best, least = (
            _fitted(own, given[1], found[1], votes, rotation, near, group, mirrored),
            chance,
        )
    return best


def _most_voted(votes: np.ndarray, group: np.ndarray) -> Tuple[np.ndarray, np.ndarray, float]:
    """The vote that most others are near to, which ones (N,), and how likely that is by chance."""
    number = len(votes)
    distance = np.stack(
        [symmetric_distance_rad(votes, np.broadcast_to(v, votes.shape), group) for v in votes]
    )
    best: Tuple[np.ndarray, np.ndarray, float] = (votes[0], np.zeros(number, bool), 1.0)
    for angle in _ANGLES_RAD:
        near = distance < angle
        row = int(np.argmax(near.sum(axis=1)))
        count = int(near[row].sum())
        # A rotation drawn at random is this likely within the angle of another one.
        share = min(1.0, len(group) * (angle - np.sin(angle)) / np.pi)
        chance = number * float(bdtrc(count - 2, number - 1, share)) if count > 1 else 1.0
        if chance < best[2]:
            best = votes[row], near[row], chance
    return best


def _fitted(
    own: np.ndarray,
    given_px: np.ndarray,
    found_px: np.ndarray,
    votes: np.ndarray,
    rotation: np.ndarray,
    near: np.ndarray,
    group: np.ndarray,
    mirrored: bool,
) -> CommonFrame:
    """Mean rotation and displacement of the poses that agree.

    Parameters
    ----------
    own : (N, 3, 3) given rotations, of the hand of the map.
    given_px, found_px : (N, 2) shifts.
    votes : (N, 3, 3) rotations from each pose to the one found.
    rotation, near : the vote with most others near it, and which ones, (N,) bool.
    group : (G, 3, 3) symmetry operations.
    mirrored : whether the hand of the poses was changed.
    """
    agreeing = votes[near]
    nearest = nearest_equivalent(agreeing, np.broadcast_to(rotation, agreeing.shape), group)
    rotation = mean_rotation(nearest)
    spread = angular_distance_rad(nearest, rotation)
    count = int(near.sum())

    targets = list(_FLIPS.values()) if mirrored else [np.eye(3)]
    equivalent = [nearest_equivalent(rotation[None], t[None], group)[0] for t in targets]
    rotation = min(zip(equivalent, targets), key=lambda pair: float(angular_distance_rad(*pair)))[0]

    # (A d)_xy = t' - t; the median of what is left stands for outliers too.
    rows, moved = own[near][:, :2].reshape(-1, 3), (found_px - given_px)[near].ravel()
    shift = robust_solution(rows, moved)
    left = 1.4826 * float(np.median(np.abs(moved - rows @ shift)))
    covariance = np.linalg.pinv(rows.T @ rows) * max(left, 1e-3) ** 2
    return CommonFrame(
        rotation,
        shift,
        mirrored,
        float(near.mean()),
        float(np.sqrt((spread**2).mean() / count)),
        float(np.sqrt(np.trace(covariance))),
    )


def robust_solution(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least squares with weights that fall with the residual (Cauchy)."""
    weight = np.ones(len(values))
    solution = np.zeros(matrix.shape[1])
    for _ in range(20):
        solution = np.linalg.lstsq(matrix * weight[:, None], values * weight, rcond=1e-6)[0]
        left = np.abs(values - matrix @ solution)
        weight = 1 / np.sqrt(1 + (left / max(2 * float(np.median(left)), 1e-3)) ** 2)
    return solution
