"""Poses on which several sets agree within their errors, and their weighted mean.

Each of S sets gives a particle a pose with a covariance; the tangent of its difference from the mean
is x_i = (w_i, dt_i), A_i = exp([w_i]x) A, in rad and Å. The mean is where sum C_i^-1 x_i = 0, and

    chi^2 = sum x_i^T C_i^-1 x_i

follows the law of 5 (S - 1) degrees of freedom if the errors are independent and as large as the
covariances say. Estimates from the same images share the error that the noise makes, so that chi^2
is smaller: the test lets poses pass that differ by no more than their own errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np
from scipy import stats
from scipy.spatial.transform import Rotation

from ..geometry.symmetry import nearest_equivalent
from ..particles.hand import covariance_of_other_hand
from ..trust.common_frame import robust_solution
from .calibration import rotation_differences_rad
from .registration import HANDS, Registration, register

_ITERATIONS = 8
_CONVERGED = 1e-9


@dataclass(frozen=True)
class PoseSet:
    """N poses: rotations (N, 3, 3), shifts_angstrom (N, 2), covariance (N, 5, 5) of (w, t) in rad and
    Å; a covariance of the shifts of 0 stands for an unknown one.
    """

    rotations: np.ndarray
    shifts_angstrom: np.ndarray
    covariance: np.ndarray

    @property
    def information(self) -> np.ndarray:
        """(N, 5, 5) inverse covariance; 0 where the errors of the shifts are unknown."""
        if self.covariance[:, 3:, 3:].any():
            return np.linalg.inv(self.covariance)
        information = np.zeros_like(self.covariance)
        information[:, :3, :3] = np.linalg.inv(self.covariance[:, :3, :3])
        return information


@dataclass(frozen=True)
class Consensus:
    """Of N particles in S sets.

    Attributes
    ----------
    mean : weighted mean of the poses, with its covariance.
    chi_square : (N,), and of rotations and shifts alone.
    degrees : of freedom of these three.
    best : (N,) which set has the smallest expected error.
    """

    mean: PoseSet
    chi_square: np.ndarray
    rotation_chi_square: np.ndarray
    shift_chi_square: np.ndarray
    degrees: Tuple[int, int, int]
    best: np.ndarray

    def agree(self, sigmas: float) -> np.ndarray:
        """(N,) bool: as likely as a difference of so many standard deviations, or likelier."""
        tail = 2 * stats.norm.sf(sigmas)
        return self.chi_square <= stats.chi2(self.degrees[0]).isf(tail)

    @property
    def rotations_differ_more(self) -> np.ndarray:
        """(N,) bool: the rotations are less likely than the shifts."""
        rotation = stats.chi2(self.degrees[1]).logsf(self.rotation_chi_square)
        if not self.degrees[2]:
            return np.ones(len(rotation), dtype=bool)
        return rotation <= stats.chi2(self.degrees[2]).logsf(self.shift_chi_square)


def in_frame_of(
    first: PoseSet, other: PoseSet, group: np.ndarray, with_hand: bool, seed: int
) -> Tuple[PoseSet, Registration, np.ndarray]:
    """The other set in the frame of the first, the rotation and hand, and the displacement d (3,) in
    Å by which the volume was moved: t' = t + (A d)_xy.

    Parameters
    ----------
    first, other : of the same particles.
    group : (G, 3, 3) symmetry operations of the first set's volume.
    with_hand : whether the other set may have the other hand.
    seed : of the registration.
    """
    hands = HANDS if with_hand else HANDS[:1]
    found = register(other.rotations, first.rotations, group, hands=hands, seed=seed)
    rotations, covariance = found.apply(other.rotations), other.covariance
    if found.hand == "opposite":
        covariance = covariance_of_other_hand(covariance)
    moved = (first.shifts_angstrom - other.shifts_angstrom).ravel()
    rows = nearest_equivalent(rotations, first.rotations, group)[:, :2].reshape(-1, 3)
    displacement = robust_solution(rows, moved)

    shifts = other.shifts_angstrom + (rows @ displacement).reshape(-1, 2)
    return PoseSet(rotations, shifts, covariance), found, displacement


def consensus(sets: Sequence[PoseSet], group: np.ndarray, shared: bool) -> Consensus:
    """The weighted means of the poses of all sets, and how well these agree.

    Parameters
    ----------
    sets : S of the same N particles, in one frame.
    group : (G, 3, 3) symmetry operations.
    shared : whether the sets share their errors, as estimates from the same images do: the mean is
        then no better than they are. Otherwise their information is added.
    """
    information = np.stack([poses.information for poses in sets])
    total = information.sum(axis=0)
    inverse = np.linalg.pinv(total, hermitian=True)
    variance = np.stack(
        [np.einsum("nii->n", np.linalg.pinv(i, hermitian=True)[:, :3, :3]) for i in information]
    )
    best = np.argmin(variance, axis=0)

    every = np.arange(len(best))
    rotations = np.stack([poses.rotations for poses in sets])[best, every]
    shifts = np.stack([poses.shifts_angstrom for poses in sets])[best, every]
    for _ in range(_ITERATIONS):
        tangents = _tangents(sets, rotations, shifts, group)
        step = np.einsum("nij,snjk,snk->ni", inverse, information, tangents)
        rotations = Rotation.from_rotvec(step[:, :3]).as_matrix() @ rotations
        shifts = shifts + step[:, 3:]
        if np.abs(step).max() < _CONVERGED:
            break

    tangents = _tangents(sets, rotations, shifts, group)
    parts = (slice(0, 5), slice(0, 3), slice(3, 5))
    whole, of_rotation, of_shift = (_chi_square(tangents, information, part) for part in parts)
    known = sum(int(i[:, 3:, 3:].any()) for i in information)
    of_rotations, of_shifts = 3 * (len(sets) - 1), 2 * max(known - 1, 0)
    covariance = inverse * (len(sets) if shared else 1)
    return Consensus(
        PoseSet(rotations, shifts, covariance),
        whole,
        of_rotation,
        of_shift,
        (of_rotations + of_shifts, of_rotations, of_shifts),
        best,
    )


def _tangents(
    sets: Sequence[PoseSet], rotations: np.ndarray, shifts: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """(S, N, 5) of each set from given poses."""
    return np.stack(
        [
            np.concatenate(
                [
                    -rotation_differences_rad(poses.rotations, rotations, group),
                    poses.shifts_angstrom - shifts,
                ],
                axis=1,
            )
            for poses in sets
        ]
    )


def _chi_square(tangents: np.ndarray, information: np.ndarray, part: slice) -> np.ndarray:
    """(N,) of a part of the tangents (S, N, 5), whose covariance is that part of the inverse."""
    whole = np.linalg.pinv(information, hermitian=True)[..., part, part]
    own = np.linalg.pinv(whole, hermitian=True)
    x = tangents[..., part]
    return np.einsum("sni,snij,snj->n", x, own, x)
