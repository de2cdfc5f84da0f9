"""Rotations from distances by linear algebra: 1 + 2 cos d_ij = tr(R_i^T R_j) is a matrix of rank 9.

If the rows of X (N, 9) are vec(R_i), this matrix is X X^T. Noise e in d, of any size but
independent of d, shrinks the cosine: E cos(d + e) = rho cos d with rho = E cos e (exp(-variance /
2) for a Gaussian). So the measured matrix B = 2 cos d of all particles against K landmarks or hubs
is rho (X Z^T - 1 1^T), of rank 10, plus noise. By the matrix determinant lemma, B + rho 1 1^T loses
a rank exactly at

    rho = -1 / (1^T B^+ 1),

which gives rho without any knowledge of the noise. The nine remaining singular vectors are X up to
a linear map. The landmarks' own rows make this map orthogonal. It is then found by alternating
between the map (orthogonal Procrustes) and the rotations nearest to the mapped rows. The result is
determined up to O(4), acting on the quaternions.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import numpy as np
from scipy import sparse

from ..errors import InputError
from ..geometry.rotations import project_to_so3
from .pairs import PairDistances

logger = logging.getLogger(__name__)

_RANK = 10
_EXTRA_VECTORS = 10
#: Largest number of landmarks. More of them cost time, and the least squares that follow use every
#: distance anyway.
_LANDMARKS = 512
_FEWEST_LANDMARKS = 12
#: A block with at least this share of its entries is completed; one with fewer is treated as
#: sparse.
_FILLED = 0.5
_FEWEST_ENTRIES = 10
_ROWS_FOR_MAP = 400
_ROWS_FOR_RESTARTS = 150
_EXACT_MISFIT = 1e-3
_RESTARTS = 24
#: Share of itself that each rotation keeps in a step; otherwise the landmarks and the rest would
#: swap their errors forever.
_POWER_INERTIA = 0.2
_POWER_STEPS, _POWER_RIDGE, _POWER_CONVERGED = 150, 0.003, 1e-6


@dataclass(frozen=True)
class SpectralEstimate:
    """Rotations (N, 3, 3); rho; misfit: rms distance of the mapped rows to SO(3)."""

    rotations: np.ndarray
    rho: float
    misfit: float


@dataclass(frozen=True)
class _Factors:
    """diag(scale_left) B diag(scale_right) ~ left diag(values) right^T, (N, 10), (10,), (K, 10), up
    to a common factor.

    The scales are 1 for a block and the roots of the numbers of entries for a sparse matrix.
    """

    left: np.ndarray
    values: np.ndarray
    right: np.ndarray
    scale_left: np.ndarray
    scale_right: np.ndarray


def spectral_rotations(
    pairs: PairDistances, rng: np.random.Generator
) -> Optional[SpectralEstimate]:
    """Estimate all rotations at once, or None where the particles or distances are too few for it.

    Dense lists and columns of landmarks use an N x K block (Nystroem), in which missing entries are
    completed; sparse lists use the sparse matrix. Time and memory are linear in the number of pairs
    and in N K. Pairs of negligible weight are left out.

    Raises
    ------
    InputError : if too few particles have ten distances.
    """
    if pairs.number < _FEWEST_LANDMARKS:
        return None

    pairs = pairs.with_weight()
    rich = int((pairs.degrees >= _FEWEST_ENTRIES).sum())
    if rich <= _RANK:
        raise InputError(
            f"{rich} of {pairs.number} particles have {_FEWEST_ENTRIES} distances or more, which "
            f"is too few to start from; add pairs (more than {_RANK} particles need so many), or "
            "use the method 'minibatch'."
        )

    dense = dense_landmarks(pairs, rng)
    landmarks = hubs(pairs) if dense is None else dense
    factors, placed = (_factor_sparse if dense is None else _factor_block)(pairs, landmarks, rng)
    rows, rho = _embed(factors, landmarks, placed)
    rotations, misfit = rotations_from_rows(rows, placed, rng)
    if dense is None or not placed.all():
        rotations = projected_power(pairs, rotations * placed[:, None, None], rho)
    return SpectralEstimate(rotations, rho, misfit)


def dense_landmarks(pairs: PairDistances, rng: np.random.Generator) -> Optional[np.ndarray]:
    """The particles with the most distances, at most 512, each measured against at least half of
    the others; or None.

    Among particles with equally many distances, some are drawn at random: the first ones of a list
    may be similar.
    """
    degrees = pairs.degrees
    shuffled = rng.permutation(pairs.number)
    order = shuffled[np.argsort(-degrees[shuffled], kind="stable")[:_LANDMARKS]]
    chosen = order[degrees[order] >= _FILLED * (pairs.number - 1)]
    return np.sort(chosen) if len(chosen) >= _FEWEST_LANDMARKS else None


def hubs(pairs: PairDistances) -> np.ndarray:
    """The few particles that occur in nearly all pairs; all particles if there are no such few."""
    degrees = pairs.degrees
    order = np.argsort(-degrees, kind="stable")
    k = int(np.searchsorted(np.cumsum(degrees[order]), 0.95 * len(pairs))) + 1
    return np.sort(order[:k]) if _RANK <= k <= pairs.number // 4 else np.arange(pairs.number)


def _factor_block(
    pairs: PairDistances, landmarks: np.ndarray, rng: np.random.Generator
) -> Tuple[_Factors, np.ndarray]:
    block = pairs.columns(landmarks)
    known = np.isfinite(block)
    block = np.where(known, 2 * np.cos(block), 0.0)
    placed = known.sum(axis=1) >= _FEWEST_ENTRIES
    missing = ~known
    passes = 1 if missing.mean() < 2 / pairs.number else 6
    block[landmarks, np.arange(len(landmarks))] = 2.0
    for _ in range(passes):
        left, values, right = top_singular(
            block.__matmul__, block.T.__matmul__, block.shape[1], rng, iterations=8
        )
        if passes > 1:
            rows, columns = np.nonzero(missing)
            block[rows, columns] = np.einsum("na,na->n", (left * values)[rows], right[columns])
    return _Factors(left, values, right, np.ones(len(left)), np.ones(len(right))), placed


def _factor_sparse(
    pairs: PairDistances, columns: np.ndarray, rng: np.random.Generator
) -> Tuple[_Factors, np.ndarray]:
    """Factors of the sparse matrix, scaled by the square roots of the entries per row and column."""
    n = pairs.number
    upper = pairs.matrix(2 * np.cos(pairs.distance_rad))
    full = len(columns) == n
    matrix = upper if full else sparse.csr_matrix((upper + upper.T)[:, columns])
    count = pairs.degrees if full else np.diff(matrix.indptr)
    count_right = count if full else np.bincount(matrix.indices, minlength=len(columns))
    a, b = np.sqrt(np.maximum(count, 1.0))[:, None], np.sqrt(np.maximum(count_right, 1.0))[:, None]

    def apply(x: np.ndarray):
        return (matrix @ (x / b) + (matrix.T @ (x / b) if full else 0)) / a

    def transposed(x: np.ndarray):
        return apply(x) if full else (matrix.T @ (x / a)) / b

    left, values, right = top_singular(apply, transposed, len(columns), rng, iterations=25)
    scale = np.sqrt(count.sum())
    return _Factors(left, values * scale, right, a[:, 0] / scale, b[:, 0]), count >= _FEWEST_ENTRIES


def top_singular(
    apply: Callable[[np.ndarray], np.ndarray],
    transposed: Callable[[np.ndarray], np.ndarray],
    columns: int,
    rng: np.random.Generator,
    iterations: int,
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ten largest singular triplets of a matrix by block power iteration (Halko et al. 2011).

    Parameters
    ----------
    apply, transposed : products of the matrix (N, K), and of its transpose, with a block of
        columns.
    columns : K.
    rng : draws the first block.
    iterations : number of products with the matrix and its transpose.

    Returns
    -------
    Left vectors (N, 10), singular values (10,), right vectors (K, 10).
    """
    basis = rng.standard_normal((columns, min(_RANK + _EXTRA_VECTORS, columns)))
    for _ in range(iterations):
        basis = np.linalg.qr(transposed(np.linalg.qr(apply(basis))[0]))[0]
    left, values, small = np.linalg.svd(apply(basis), full_matrices=False)
    return left[:, :_RANK], values[:_RANK], (basis @ small.T)[:, :_RANK]


def _embed(
    factors: _Factors, landmarks: np.ndarray, placed: np.ndarray
) -> Tuple[np.ndarray, float]:
    """Rows (N, 9) that are vec(R) up to one orthogonal map, and rho."""
    ones_left = factors.left.T @ factors.scale_left
    ones_right = factors.right.T @ factors.scale_right
    rho = -1 / float(np.sum(ones_left * ones_right / factors.values))
    rho = rho if 0.02 < rho < 1.2 else 1.0
    small = np.diag(factors.values) + rho * np.outer(ones_left, ones_right)
    u, values, vt = np.linalg.svd(small)
    root = np.sqrt(values[:9])

    rows = factors.left @ u[:, :9] * root / factors.scale_left[:, None]
    columns = factors.right @ vt[:9].T * root / factors.scale_right[:, None]
    own = placed[landmarks]
    if own.sum() > _RANK:
        metric = np.linalg.lstsq(columns[own], rows[landmarks[own]], rcond=None)[0]
        values, vectors = np.linalg.eigh(0.5 * (metric + metric.T))
        if values[0] > 1e-3 * values[-1]:
            rows = rows @ (vectors / np.sqrt(values)) @ vectors.T
    return rows * np.sqrt(3 / np.mean(np.sum(rows[placed] ** 2, axis=1))), rho


def projected_power(pairs: PairDistances, rotations: np.ndarray, rho: float) -> np.ndarray:
    """Improve rotations (N, 3, 3), or find those that are 0, by repeated prediction from all
    neighbours and projection onto SO(3).

    sum_j g_ij x_j = (sum_j x_j x_j^T) x_i, so x_i is the left side times one inverse 9 x 9 matrix:
    a power iteration on rotations. From the spectral estimate of a sparse list, which is dominated
    by noise, it leads to rotations from which least squares can start.
    """
    matrix = pairs.matrix(2 * np.cos(pairs.distance_rad) + rho)
    share = (pairs.number / pairs.degrees)[:, None]
    x = rotations.reshape(-1, 9)
    for _ in range(_POWER_STEPS):
        gram = x.T @ x + _POWER_RIDGE * len(x) * np.eye(9)
        predicted = (
            share * np.linalg.solve(gram, (matrix @ x + matrix.T @ x).T).T + _POWER_INERTIA * x
        )
        previous, x = x, project_to_so3(predicted.reshape(-1, 3, 3)).reshape(-1, 9)
        if np.mean((x - previous) ** 2) < _POWER_CONVERGED:
            break
    return x.reshape(-1, 3, 3)


def rotations_from_rows(
    rows: np.ndarray, placed: np.ndarray, rng: np.random.Generator
) -> Tuple[np.ndarray, float]:
    """Map rows (N, 9) to rotations (N, 3, 3), by alternating between orthogonal Procrustes and the
    projection onto SO(3).
    """
    usable = np.flatnonzero(placed)
    sample = rows[rng.choice(usable, min(len(usable), _ROWS_FOR_MAP), replace=False)]
    found = []
    for _ in range(_RESTARTS):
        start = np.linalg.qr(rng.standard_normal((9, 9)))[0]
        found.append(_alternate(sample[:_ROWS_FOR_RESTARTS], start, iterations=40))
        if found[-1][0] < _EXACT_MISFIT:
            break
    best = min(found, key=lambda result: result[0])
    misfit, mapping = _alternate(sample, best[1], iterations=100, tolerance=1e-14)
    return project_to_so3((rows @ mapping).reshape(-1, 3, 3)), misfit


def _alternate(
    rows: np.ndarray, mapping: np.ndarray, iterations: int, tolerance: float = 1e-6
) -> Tuple[float, np.ndarray]:
    misfit = np.inf
    for _ in range(iterations):
        mapped = rows @ mapping
        rotations = project_to_so3(mapped.reshape(-1, 3, 3)).reshape(-1, 9)
        previous, misfit = misfit, float(np.sqrt(np.mean((mapped - rotations) ** 2)))
        if previous - misfit < tolerance:
            break
        u, _, vt = np.linalg.svd(rows.T @ rotations)
        mapping = u @ vt
    return misfit, mapping
