"""Registration over O(4), up to which pairwise distances determine poses (Banjac et al. 2021, eq.
5).

d(q_i, q_j) stays the same when all quaternions are multiplied by one orthogonal 4 x 4 matrix: A ->
L A R with two rotations, preceded by A -> A^-1 if the determinant is negative. In a microscope only
R, the rotation of the volume, is free: L moves the beam. So the remaining error measures how well
the rotations were recovered from the distances. It is a lower bound of the error of the poses.

Start: A_truth = L A_estimate R is linear, vec(A_truth) = (L x R^T) vec(A_estimate), so the
least-squares 9 x 9 matrix, with its entries rearranged, is nearly of rank one in (L, R) (Van Loan
and Pitsianis 1993). Then the mean distance is minimised by orthogonal Procrustes on the quaternions
with the weights 1 / distance, alternating with the choice of their signs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List

import numpy as np

from ..conventions import quaternions_to_rotations, rotations_to_quaternions
from ..geometry.rotations import project_to_so3, quaternion_distance_rad

_RIDGES = (1e-9, 0.03, 1.0)
_RANDOM_STARTS = 16
_SCORED_ON = 2000
_ITERATIONS = 200
_CONVERGED = 1e-13
_SMALLEST_DISTANCE_RAD = 1e-8


@dataclass(frozen=True)
class Orthogonal4:
    """T (4, 4) that takes estimated quaternions (w, x, y, z) to true ones, up to their signs."""

    matrix: np.ndarray
    mean_residual_rad: float

    @property
    def inverted(self) -> bool:
        """Whether A -> A^-1 is part of it."""
        return bool(np.linalg.det(self.matrix) < 0)

    def apply(self, rotations: np.ndarray) -> np.ndarray:
        """(N, 3, 3) estimated rotations, registered. Not physical: the beam may have moved."""
        return quaternions_to_rotations(rotations_to_quaternions(rotations) @ self.matrix.T)


def register_orthogonal4(estimate: np.ndarray, truth: np.ndarray, *, seed: int = 0) -> Orthogonal4:
    """The T in O(4) with the smallest mean distance d(q_truth, T q_estimate), over both signs of
    its determinant.

    Parameters
    ----------
    estimate, truth : (N, 3, 3) rotations A of the same N >= 1 particles.
    seed : of the random starts, which complement the closed form (it needs about ten particles),
        and of the sample on which the starts are compared.
    """
    if len(estimate) != len(truth) or len(truth) == 0:
        raise ValueError(
            f"expected as many estimates as true poses, received {len(estimate)} and {len(truth)}"
        )
    rng = np.random.default_rng(seed)
    q, p = rotations_to_quaternions(estimate), rotations_to_quaternions(truth)
    part = rng.permutation(len(q))[:_SCORED_ON]
    starts = _closed_forms(
        np.asarray(estimate, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    )
    starts += [np.linalg.qr(rng.standard_normal((4, 4)))[0] for _ in range(_RANDOM_STARTS)]
    found = [_polish(q[part], p[part], start, iterations=30) for start in starts]
    best = min(found, key=lambda result: result.mean_residual_rad)
    return _polish(q, p, best.matrix, iterations=_ITERATIONS)


def _closed_forms(estimate: np.ndarray, truth: np.ndarray) -> List[np.ndarray]:
    starts = []
    for inverted in (False, True):
        source = np.swapaxes(estimate, 1, 2) if inverted else estimate
        x, y = source.reshape(-1, 9), truth.reshape(-1, 9)
        gram = x.T @ x
        for ridge in _RIDGES:
            weight = ridge * np.trace(gram) / 9
            linear = np.linalg.solve(gram + weight * np.eye(9), x.T @ y).T
            left, right = _nearest_product(linear)
            starts.append(_as_matrix(left, right, inverted))
    return starts


def _nearest_product(linear: np.ndarray):
    """Rotations L, R with L x R^T nearest to a (9, 9) matrix."""
    u, _, vt = np.linalg.svd(linear.reshape(3, 3, 3, 3).transpose(0, 2, 1, 3).reshape(9, 9))
    left, right = u[:, 0].reshape(3, 3), vt[0].reshape(3, 3).T
    if np.linalg.det(left) < 0:
        left, right = -left, -right
    return project_to_so3(left), project_to_so3(right)


def _as_matrix(left: np.ndarray, right: np.ndarray, inverted: bool) -> np.ndarray:
    """The (4, 4) matrix of A -> L A R, or of A -> L A^-1 R."""
    basis = np.eye(4)
    if inverted:
        basis = basis * np.array([1.0, -1.0, -1.0, -1.0])
    a, b = rotations_to_quaternions(np.stack([left, right]))
    return np.stack([_product(_product(a, e), b) for e in basis], axis=1)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton's product of quaternions (w, x, y, z)."""
    vector = a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:])
    return np.concatenate([[a[0] * b[0] - a[1:] @ b[1:]], vector])


def _polish(q: np.ndarray, p: np.ndarray, matrix: np.ndarray, iterations: int) -> Orthogonal4:
    """Alternate weighted orthogonal Procrustes and the choice of signs, from a start."""
    for _ in range(iterations):
        cosines = np.einsum("na,na->n", p, q @ matrix.T)
        weights = np.copysign(
            1 / np.maximum(quaternion_distance_rad(cosines), _SMALLEST_DISTANCE_RAD), cosines
        )
        u, _, vt = np.linalg.svd((p * weights[:, None]).T @ q)
        previous, matrix = matrix, u @ vt
        if np.abs(matrix - previous).max() < _CONVERGED:
            break
    residuals = quaternion_distance_rad(np.einsum("na,na->n", p, q @ matrix.T))
    return Orthogonal4(matrix, float(residuals.mean()))
