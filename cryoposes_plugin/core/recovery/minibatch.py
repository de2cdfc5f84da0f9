"""The reference method: mini-batch minimisation over quaternions (Banjac et al. 2021, eq. 4), with
plain NumPy Adam.

    L = sum over sampled pairs of w_ij |d_ij - 2 arccos |<q_i, q_j>||^2

The method is kept as published for comparison, except for the weights: a random start, new random
pairs for each step, a constant learning rate. The quaternions are not normalised between the steps.
The gradient is perpendicular to them, so they grow, and the angle of a step shrinks accordingly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, List, Optional, Tuple

import numpy as np

from ..progress import Progress
from .least_squares import Fit, refine
from .pairs import PairDistances

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-7
_SMALLEST_SINE = 1e-6
_SMOOTHING = 0.02
#: Number of intermediate losses that are kept.
_COURSE = 200


def minibatch_rotations(
    pairs: PairDistances,
    seed: int = 0,
    *,
    start: Optional[np.ndarray] = None,
    steps: int = 20000,
    batch_size: int = 256,
    learning_rate: float = 0.5,
    watch: Optional[Callable[[int, float], None]] = None,
    task: str = "",
) -> Fit:
    """Minimise the mean squared residual of random batches with Adam (Kingma and Ba 2015).

    Parameters
    ----------
    pairs : the measured distances.
    seed : of the random start and of the batches.
    start : (N, 4) unit quaternions to start from; random ones if None.
    steps : number of batches.
    batch_size : pairs in a batch.
    learning_rate : of Adam.
    watch : called as watch(step, smoothed loss in rad^2) at each step.
    task : name for the progress; empty for none.

    Returns
    -------
    The fit, with the loss over all pairs; its history holds about 200 smoothed losses.
    """
    rng = np.random.default_rng(seed)
    q = (
        rng.standard_normal((pairs.number, 4))
        if start is None
        else np.array(start, dtype=np.float64)
    )
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    first = pairs.first()
    mean, square, smoothed = np.zeros_like(q), np.zeros_like(q), np.nan
    course: List[float] = []
    progress = Progress(steps, "steps", task) if task else None

    for step in range(1, steps + 1):
        batch = rng.integers(len(pairs), size=min(batch_size, len(pairs)))
        ends, d = (first[batch], pairs.second[batch]), pairs.distance_rad[batch]
        loss, gradient = loss_and_gradient(q, *ends, d, pairs.weights_of(batch))
        mean += (1 - _BETA1) * (gradient - mean)
        square += (1 - _BETA2) * (gradient**2 - square)
        rate = learning_rate * np.sqrt(1 - _BETA2**step) / (1 - _BETA1**step)
        q -= rate * mean / (np.sqrt(square) + _EPSILON)
        smoothed = loss if step == 1 else smoothed + _SMOOTHING * (loss - smoothed)
        if watch is not None:
            watch(step, smoothed)
        if step % max(1, steps // _COURSE) == 0:
            course.append(smoothed)
        if progress is not None:
            progress.advance(1, loss_rad2=smoothed)

    fit = refine(pairs, q / np.linalg.norm(q, axis=1, keepdims=True), steps=0)
    return replace(fit, history=course + fit.history)


def loss_and_gradient(
    q: np.ndarray, first: np.ndarray, second: np.ndarray, distances: np.ndarray, weight: np.ndarray
) -> Tuple[float, np.ndarray]:
    """Weighted mean squared residual of a batch of M pairs, and its gradient (N, 4).

    Parameters
    ----------
    q : (N, 4) quaternions, of any length.
    first, second : (M,) the particles of each pair.
    distances : (M,) in radians.
    weight : (M,) or one number.
    """
    lengths = np.linalg.norm(q, axis=1, keepdims=True)
    a, b = (q[rows] / lengths[rows] for rows in (first, second))
    cosine = np.einsum("na,na->n", a, b)
    sine = np.sqrt(np.maximum((1 - cosine) * (1 + cosine), 0.0))
    residual = distances - 2 * np.arctan2(sine, np.abs(cosine))
    slope = np.copysign(1 / np.maximum(sine, _SMALLEST_SINE), cosine)
    factor = (4 / len(first) * weight * residual * slope)[:, None]
    along = cosine[:, None]
    gradient = np.zeros_like(q)
    np.add.at(gradient, first, factor * (b - along * a) / lengths[first])
    np.add.at(gradient, second, factor * (a - along * b) / lengths[second])
    return float(np.mean(weight * residual**2)), gradient
