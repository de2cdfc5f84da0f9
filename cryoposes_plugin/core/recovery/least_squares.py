"""Robust least squares on the rotations: sum_ij w_ij (d_ij - b_i - b_j - d(q_i, q_j))^2, by
Gauss-Newton steps.

With c = <q_i, q_j> and s = sign(c), d(q_i, q_j) = 2 arccos |c| has the gradient -2 s t in q_i,
where t = (q_j - c q_i) / sin(d / 2) is the unit tangent towards q_j. Each particle solves its own
normal equations

    4 sum_j w (t t^T) delta_i = -2 sum_j w r s t,   delta_i perpendicular to q_i,

while the others are held fixed (block Jacobi, damped, with momentum). A step takes two products
with a sparse matrix, in time linear in the number of pairs. The noise need not be known, and
distances outside [0, pi] are used as they are.

b_i is an error common to all distances of one particle, such as one with a poor image. It is
estimated by its best linear predictor, together with the variance of the b_i, so it vanishes if the
errors are independent.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import List, Optional, Tuple

import numpy as np
from scipy import sparse

from ..parallel import in_order
from ..progress import Progress
from .pairs import PairDistances

logger = logging.getLogger(__name__)

#: Residuals beyond this many standard deviations weigh less (Huber 1964): 97 % efficient for
#: Gaussian errors.
_HUBER = 1.7
_SMALLEST_SCALE_RAD = 1e-12
#: Below this sin^2(d / 2), the direction from one particle to the other is unreliable.
_SMALLEST_SIN2 = 1e-12
_UPPER = np.triu_indices(4)
#: Fields of `_Sums` to which every pair contributes at both of its particles.
_SUMMED = ("weight", "residual", "squared", "gradient", "normal")
#: Longest change of a quaternion in one step.
_LONGEST_STEP = 0.2
#: Added to the normal matrices, relative to their trace: a particle does not move along a direction
#: that its neighbours leave undetermined.
_RIDGE = 1e-9
_PRODUCTS_A_PAIR = 8
_EXACT_RAD, _SMALL_GAIN, _PATIENCE = 1e-9, 1e-5, 4
#: With fewer distances per particle than this, an offset cannot be distinguished from a rotation.
_OFFSETS_NEED = 32
_DAMPING, _MOMENTUM = 0.6, 0.3
#: Number of steps before the offsets are estimated, so that the rotations explain what they can
#: first.
_STEPS_BEFORE_OFFSETS = 3
_OFFSETS_DAMPING = 0.8


@dataclass
class Fit:
    """Quaternions (N, 4), and the statistics of the last pass over the pairs.

    rms_rad : (N,) root mean square residual of each particle's distances, weighted if there are
        weights.
    expected_error_rad : (N,) root mean square error of the rotation due to this noise, if the
        others are correct.
    offsets_rad : (N,) the b_i.
    scale_rad : robust standard deviation of the residuals, of pairs of weight 1.
    loss_rad, loss_rad2 : (weighted) mean |r| and mean r^2 over the pairs.
    """

    quaternions: np.ndarray
    rms_rad: np.ndarray
    expected_error_rad: np.ndarray
    offsets_rad: np.ndarray
    scale_rad: float
    loss_rad: float
    loss_rad2: float
    steps: int = 0
    largest_step_rad: float = np.inf
    history: List[float] = field(default_factory=list)


@dataclass
class _Sums:
    """Sums over the pairs of each particle, and over all pairs.

    weight, residual, squared : (N,) sums of w, w r and p r^2, p the pair's own weight and w that of
        Huber times it.
    gradient (N, 4), normal (N, 4, 4) : of the normal equations, before the projection onto the
        tangent space.
    absolute : sum of p |r|.
    """

    weight: np.ndarray
    residual: np.ndarray
    squared: np.ndarray
    gradient: np.ndarray
    normal: np.ndarray
    absolute: float = 0.0
    scale_rad: float = 0.0


def refine(
    pairs: PairDistances,
    quaternions: np.ndarray,
    *,
    steps: int = 100,
    fixed: Optional[np.ndarray] = None,
    offsets: bool = True,
    start_offsets_rad: Optional[np.ndarray] = None,
    task: str = "",
) -> Fit:
    """Minimise over the rotations from a start within the basin of the solution.

    Parameters
    ----------
    quaternions : (N, 4) unit, the start.
    steps : largest number of passes over the pairs; they end earlier if they no longer improve the
        fit.
    fixed : (N,) bool, rotations that are known and are not changed.
    offsets : whether to estimate errors common to all distances of a particle.
    start_offsets_rad : (N,) initial values of these errors.
    task : name for the progress; empty for none.
    """
    q = np.array(quaternions, dtype=np.float64)
    degrees, count = pairs.degrees, np.maximum(pairs.weight_sums(), 1e-300)
    free = np.ones(len(q), dtype=bool) if fixed is None else ~fixed
    known = start_offsets_rad is not None and bool(np.any(start_offsets_rad))
    b = np.array(start_offsets_rad, dtype=np.float64) if known else np.zeros(len(q))
    velocity, scale = np.zeros_like(q), np.inf
    offsets = offsets and degrees[free].mean() >= _OFFSETS_NEED
    progress = Progress(steps, "passes", task) if task else None
    step, step_size, history = 0, np.inf, []

    while True:
        sums = _pass(pairs, q, b, scale)
        scale = sums.scale_rad
        history.append(float(sums.squared.sum() / count.sum()))
        if step >= steps or min(step_size, np.sqrt(history[-1])) < _EXACT_RAD or _settled(history):
            break
        velocity = _MOMENTUM * _tangent(velocity, q) + _DAMPING * _newton_steps(q, sums, fixed)
        q = _normalised(q + velocity)
        if offsets and (known or step >= _STEPS_BEFORE_OFFSETS):
            b = _update_offsets(b, sums, count, free)
        step, step_size = step + 1, float(4 * np.sqrt(np.mean(velocity**2)))
        if progress is not None:
            progress.advance(1, rms_residual_deg=np.rad2deg(np.sqrt(history[-1])))

    rms = np.sqrt(sums.squared / count)
    normal, filling = _filled_normal(q, sums)
    expected = (
        2 * scale * np.sqrt(np.maximum(np.einsum("naa->n", np.linalg.inv(normal)) - 1 / filling, 0))
    )
    loss = 2 * sums.absolute / float(count.sum())
    return Fit(q, rms, expected, b, scale, loss, history[-1], step, step_size, history)


def _settled(history: List[float]) -> bool:
    """Whether the last passes have hardly lowered the loss."""
    return (
        len(history) > _PATIENCE
        and history[-1 - _PATIENCE] - history[-1] < _SMALL_GAIN * history[-1]
    )


def _pass(pairs: PairDistances, q: np.ndarray, b: np.ndarray, scale_rad: float) -> _Sums:
    n = len(q)
    outer = np.einsum("na,nb->nab", q, q)[:, _UPPER[0], _UPPER[1]]
    sums = _Sums(np.zeros(n), np.zeros(n), np.zeros(n), np.zeros((n, 4)), np.zeros((n, 10)))
    scales = []
    work = partial(_part_of_pass, pairs, q, b, scale_rad, outer)
    for (rows, _), (of_second, of_first, absolute, scale) in in_order(work, list(pairs.rows())):
        for name, second, first in zip(_SUMMED, of_second, of_first):
            total = getattr(sums, name)
            total += second
            total[rows] += first
        sums.absolute += absolute
        scales.append(scale)
    sums.scale_rad = max(1.4826 * float(np.median(scales)), _SMALLEST_SCALE_RAD)
    return sums


def _part_of_pass(
    pairs: PairDistances,
    q: np.ndarray,
    b: np.ndarray,
    scale_rad: float,
    outer: np.ndarray,
    place: Tuple[slice, slice],
):
    """For some rows: contributions to _SUMMED at the second particles (N, ...) and at the rows; sum
    of p |r|; median of |r|.
    """
    rows, part = place
    first, second = pairs.first(part), pairs.second[part]
    c = _cosines(q, rows, first, second)
    sin2 = np.maximum((1 - c) * (1 + c), 0.0)
    r = pairs.distance_rad[part] - 2 * np.arctan2(np.sqrt(sin2), np.abs(c)) - b[first] - b[second]
    np.maximum(sin2, _SMALLEST_SIN2, out=sin2)
    size, squared = np.abs(r), r * r
    if pairs.weight is None:
        absolute = float(size.sum())
        w = 1 / np.maximum(1.0, size / (_HUBER * scale_rad))
        scale = float(np.median(size[:: len(size) // 20000 + 1]))
    else:
        p = pairs.weight[part]
        absolute = float(p @ size)
        squared *= p
        size *= np.sqrt(p)
        w = p / np.maximum(1.0, size / (_HUBER * scale_rad))
        scale = _weighted_median(size, p)
    of_second, of_first = [], []
    bounds = pairs.indptr[rows.start : rows.stop + 1] - part.start

    for values in (w, w * r, squared):
        of_second.append(np.bincount(second, values, len(q)))
        of_first.append(np.diff(np.concatenate([[0.0], np.cumsum(values)])[bounds]))

    for values, carried in ((w * r * np.copysign(1 / np.sqrt(sin2), c), q), (w / sin2, outer)):
        matrix = sparse.csr_matrix((values, second, bounds), shape=(len(bounds) - 1, len(q)))
        of_second.append(matrix.T @ carried[rows])
        of_first.append(matrix @ carried)

    return of_second, of_first, absolute, scale


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted median; pairs of negligible weight do not affect it."""
    every = slice(None, None, len(values) // 20000 + 1)
    order = np.argsort(values[every])
    below = np.cumsum(weights[every][order])
    return float(values[every][order][np.searchsorted(below, 0.5 * below[-1])])


def _cosines(q: np.ndarray, rows: slice, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """<q_i, q_j> of the pairs of some rows; taken from all products if there are not many more of
    them.
    """
    here = q[rows]
    if len(here) * len(q) > _PRODUCTS_A_PAIR * len(first):
        return np.einsum("na,na->n", q[first], q[second])
    return (here @ q.T).ravel()[(first - np.int64(rows.start)) * len(q) + second]


def _newton_steps(q: np.ndarray, sums: _Sums, fixed: Optional[np.ndarray]) -> np.ndarray:
    """(N, 4) tangent steps delta that solve each particle's normal equations."""
    normal, _ = _filled_normal(q, sums)
    delta = np.linalg.solve(normal, -2 * _tangent(sums.gradient, q)[:, :, None])[:, :, 0]
    delta *= np.minimum(
        1.0, _LONGEST_STEP / np.maximum(np.linalg.norm(delta, axis=1, keepdims=True), 1e-300)
    )
    if fixed is not None:
        delta[fixed] = 0
    return delta


def _filled_normal(q: np.ndarray, sums: _Sums):
    """(N, 4, 4) normal matrices in the tangent space, and their traces (N,), which fill them along
    q, where they are singular.
    """
    project = np.eye(4) - q[:, :, None] * q[:, None, :]
    normal = np.empty((len(q), 4, 4))
    normal[:, _UPPER[0], _UPPER[1]] = normal[:, _UPPER[1], _UPPER[0]] = 4 * sums.normal
    normal = project @ normal @ project
    filling = np.maximum(np.einsum("naa->n", normal), 1e-300)
    normal += filling[:, None, None] * (q[:, :, None] * q[:, None, :] + _RIDGE * np.eye(4))
    return normal, filling


def _update_offsets(b: np.ndarray, sums: _Sums, count: np.ndarray, free: np.ndarray) -> np.ndarray:
    """A step towards the best linear predictor; the common part is halved, since b_i and b_j share
    it.

    Particles with known rotations have no offset, so that the result for each other particle does
    not depend on the other unknown ones.
    """
    mean = sums.residual / sums.weight + b
    noise = sums.scale_rad**2 / count
    variance = max(float(np.mean((mean**2 - noise)[free])), 0.0)
    step = mean * variance / (variance + noise + 1e-300) - b
    if not free.all():
        return np.where(free, b + _OFFSETS_DAMPING * step, 0.0)
    common = float(np.mean(step))
    return b + _OFFSETS_DAMPING * (step - common) + 0.5 * common


def _tangent(vectors: np.ndarray, q: np.ndarray) -> np.ndarray:
    return vectors - q * np.einsum("na,na->n", vectors, q)[:, None]


def _normalised(q: np.ndarray) -> np.ndarray:
    return q / np.linalg.norm(q, axis=1, keepdims=True)
