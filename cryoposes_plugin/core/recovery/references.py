"""Rotations from distances to references of known rotation, which determine them uniquely.

2 cos d_k + 1 = <vec R, vec R_k> is linear in R, so the least-squares solution over K references is
one matrix product, and the rotation nearest to it is the estimate. Errors of the distances shrink 2
cos d to rho (<vec R, vec R_k> - 1). A tenth unknown, the constant, accounts for -rho, and the
projection onto SO(3) removes the scale. So the noise need not be known.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ..conventions import quaternions_to_rotations, rotations_to_quaternions
from ..geometry.rotations import project_to_so3
from .least_squares import refine
from .pairs import PairDistances

_FEWEST_REFERENCES = 10
_STEPS = 30
_RIDGE = 1e-9


def rotations_from_references(
    distances_rad: np.ndarray, references: np.ndarray, *, least_squares: bool = True
) -> Tuple[np.ndarray, np.ndarray]:
    """Rotations in the frame of the references.

    Parameters
    ----------
    distances_rad : (N, K) from each particle to each reference; noisy distances should not be
        clipped.
    references : (K, 3, 3) rotations A, K >= 10, spread over SO(3).
    least_squares : refine the closed form by robust least squares on the distances themselves.

    Returns
    -------
    rotations (N, 3, 3) and the root mean square residuals (N,) in radians.
    """
    d, known = np.asarray(distances_rad, dtype=np.float64), np.asarray(references, dtype=np.float64)
    if d.ndim != 2 or d.shape[1] != len(known) or len(known) < _FEWEST_REFERENCES:
        raise ValueError(
            f"expected distances (N, K) to K >= {_FEWEST_REFERENCES} references, received "
            f"{d.shape} and {known.shape}"
        )
    if not np.isfinite(d).all():
        raise ValueError(
            f"expected finite distances, received {np.count_nonzero(~np.isfinite(d))} that are not"
        )

    rotations = closed_form(d, known)
    pairs = _bipartite(d)
    start = rotations_to_quaternions(np.concatenate([rotations, known]))
    fixed = np.arange(len(start)) >= len(d)
    fit = refine(pairs, start, steps=_STEPS if least_squares else 0, fixed=fixed)
    return quaternions_to_rotations(fit.quaternions[: len(d)]), fit.rms_rad[: len(d)]


def closed_form(distances_rad: np.ndarray, references: np.ndarray) -> np.ndarray:
    """(N, 3, 3) rotations nearest to the linear solutions; missing distances (N, K) are NaN."""
    design = np.concatenate([references.reshape(-1, 9), np.ones((len(references), 1))], axis=1)
    known = np.isfinite(distances_rad)
    if known.all():
        coefficients = 2 * np.cos(distances_rad) @ np.linalg.pinv(design).T
    else:
        outer = np.einsum("ka,kb->kab", design, design).reshape(-1, 100)
        normal = (known.astype(np.float64) @ outer).reshape(-1, 10, 10) + _RIDGE * np.eye(10)
        right = np.where(known, 2 * np.cos(distances_rad), 0.0) @ design
        coefficients = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
    return project_to_so3(coefficients[:, :9].reshape(-1, 3, 3))


def _bipartite(distances: np.ndarray) -> PairDistances:
    """All pairs of N particles with K references, which are numbered after the particles."""
    n, k = distances.shape
    indptr = np.concatenate([np.arange(n + 1) * k, np.full(k, n * k)])
    return PairDistances(indptr, np.tile(np.arange(n, n + k, dtype=np.int32), n), distances.ravel())
