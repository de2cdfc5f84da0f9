"""Rotations of all particles from pairwise distances alone: a spectral start, least squares, and a
new search for outliers.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

import numpy as np

from ..conventions import quaternions_to_rotations, rotations_to_quaternions
from ..geometry.rotations import quaternion_distance_rad
from .least_squares import Fit, refine
from .pairs import FEWEST_DISTANCES, PairDistances, connected_parts
from .placement import place
from .references import closed_form
from .spectral import dense_landmarks, spectral_rotations

logger = logging.getLogger(__name__)

_ROUNDS = 4
#: With at least this many landmarks, these are recovered before all other particles.
_FEWEST_FOR_CORE = 256
#: Offsets that are tried, in units of their spread.
_TRIED_OFFSETS = (0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0)
#: For sparse lists only: largest number of starts until the held-out pairs are explained.
_ATTEMPTS = 3
_STEPS = 100
#: Number of random starts if there are too few particles for linear algebra, and how many of them
#: are refined to the end.
_STARTS, _SETTLED = 100, 10
#: The rms residual of an outlier exceeds the median by more than this many standard errors.
_STRAY = 4.0
_SMALLEST_STRAY_RAD = 1e-6
_SMALL_GAIN = 1e-4
_HOLD_OUT_FROM, _HELD_OUT_PAIRS, _FEWEST_HELD_OUT = 12, 20000, 30
_EXACT_LOSS_RAD = 1e-6


@dataclass(frozen=True)
class Recovery:
    """Rotations (N, 3, 3) recovered from distances, up to O(4), and how well they explain the
    distances.

    residual_rad : (N,) root mean square residual of each particle's distances; large for outliers.
    expected_error_rad : (N,) root mean square error of the rotation due to noise of this size, NaN
        if not known.
    offset_rad : (N,) the error common to all distances of a particle.
    noise_rad : standard deviation of the distances' errors, from the residuals.
    held_out_ratio : sparse lists only: mean |r| of held-out pairs over that of the others. It is
        near 1 if the rotations are right, and clearly larger if there were too few distances for
        their noise, so that only the noise was fitted.
    loss_rad, loss_rad2 : mean |r| and mean r^2 over the pairs, a proxy of the error (Banjac et al.
        2021, section 3.2).
    history_rad2 : mean r^2 after each pass over the pairs.
    """

    rotations: np.ndarray
    residual_rad: np.ndarray
    expected_error_rad: np.ndarray
    offset_rad: np.ndarray
    noise_rad: float
    loss_rad: float
    loss_rad2: float
    held_out_ratio: Optional[float] = None
    history_rad2: Tuple[float, ...] = ()


def recover_rotations(pairs: PairDistances, seed: int = 0) -> Recovery:
    """Rotations from distances, in time and memory linear in the number of distances.

    Parameters
    ----------
    pairs : a connected graph (see `check_graph`): all pairs, columns of landmarks, or pairs at
        random.
    seed : of every random number.

    The rotations are determined up to R -> A R B and R -> R^-1, which do not change the distances.
    """
    rng = np.random.default_rng(seed)
    strong = pairs.with_weight()
    landmarks = dense_landmarks(strong, rng)
    if landmarks is not None and _FEWEST_FOR_CORE <= len(landmarks) < pairs.number:
        core = strong.within(landmarks)
        if core.degrees.min() >= len(landmarks) // 4:
            return as_recovery(
                _fit_from_core(pairs, landmarks, core, strong.columns(landmarks), rng)
            )
    fitted, held_out = (pairs, None) if landmarks is not None else hold_out(pairs, rng)
    if held_out is None:
        return as_recovery(_fit(fitted, rng))

    tried: List[Tuple[float, Fit]] = []

    while len(tried) < _ATTEMPTS and not (tried and tried[-1][0] < _expected_ratio(fitted)):
        fit = _fit(fitted, rng)
        loss = refine(held_out, fit.quaternions, steps=0).loss_rad
        tried.append(((loss + _EXACT_LOSS_RAD) / (fit.loss_rad + _EXACT_LOSS_RAD), fit))

    ratio, fit = min(tried, key=lambda attempt: attempt[0])
    return replace(as_recovery(fit), held_out_ratio=ratio)


def _expected_ratio(pairs: PairDistances) -> float:
    """Largest plausible ratio of held-out to fitted residuals for a correct fit, in which three
    numbers are fitted per particle.
    """
    share = min(3 * pairs.number / len(pairs), 0.9)
    return 1.1 * float(np.sqrt((1 + share) / (1 - share)))


def hold_out(
    pairs: PairDistances, rng: np.random.Generator
) -> Tuple[PairDistances, Optional[PairDistances]]:
    """The pairs to fit and a few held-out pairs of particles that have many; None if the graph
    would no longer be connected.
    """
    degrees = pairs.degrees
    chosen = rng.choice(len(pairs), min(len(pairs) // 50, _HELD_OUT_PAIRS), replace=False)
    rich = (
        np.minimum(degrees[pairs.second[chosen]], degrees[pairs.first()[chosen]]) >= _HOLD_OUT_FROM
    )
    keep = np.ones(len(pairs), dtype=bool)
    keep[chosen[rich]] = False
    fitted = pairs.take(keep)
    if rich.sum() < _FEWEST_HELD_OUT or connected_parts(fitted)[0] > 1:
        return pairs, None
    return fitted, pairs.take(~keep)


def _fit(pairs: PairDistances, rng: np.random.Generator) -> Fit:
    estimate = spectral_rotations(pairs, rng)
    if estimate is None:
        return _from_random_starts(pairs, rng)
    logger.info(
        "recover: spectral estimate; the mean cosine of the distances' errors is %.3f.",
        estimate.rho,
    )
    return _settle(pairs, rotations_to_quaternions(estimate.rotations), rng, task="recover")


def _fit_from_core(
    pairs: PairDistances,
    landmarks: np.ndarray,
    core: PairDistances,
    columns: np.ndarray,
    rng: np.random.Generator,
) -> Fit:
    """Fit the landmarks first, then all others against them, then everything: this needs few passes
    over all pairs.

    The spectral estimate does not model errors that the distances of a particle share. Those found
    in the fit of the landmarks are subtracted from all distances. core, columns : distances among
    the landmarks, and (N, K) from all particles to them.
    """
    fit = _fit(core, rng)
    others = np.setdiff1d(np.arange(pairs.number), landmarks)
    quaternions, offsets = np.empty((pairs.number, 4)), np.zeros(pairs.number)
    quaternions[landmarks], offsets[landmarks] = fit.quaternions, fit.offsets_rad
    distances = columns[others] - fit.offsets_rad
    quaternions[others], offsets[others] = against_known(
        distances, fit.quaternions, float(np.std(fit.offsets_rad))
    )
    return _settle(pairs, quaternions, rng, offsets, task="recover")


def against_known(
    distances: np.ndarray, known: np.ndarray, spread_rad: float
) -> Tuple[np.ndarray, np.ndarray]:
    """Quaternions (N, 4) and offsets (N,) from distances (N, K), or NaN, to known quaternions (K,
    4).

    spread_rad : standard deviation of the offsets; several values are tried, and the one with the
        smallest residuals is kept.
    """
    references, measured = quaternions_to_rotations(known), np.isfinite(distances)
    quaternions = rotations_to_quaternions(closed_form(distances, references))
    offsets, least = np.zeros(len(distances)), np.full(len(distances), np.inf)
    if spread_rad == 0:
        return quaternions, offsets

    number = measured.sum(axis=1)
    told = number >= FEWEST_DISTANCES

    for trial in _TRIED_OFFSETS:
        found = rotations_to_quaternions(closed_form(distances - trial * spread_rad, references))
        residuals = np.where(measured, distances - quaternion_distance_rad(found @ known.T), 0.0)
        mean = residuals.sum(axis=1) / np.maximum(number, 1)
        spread = (residuals**2).sum(axis=1) / np.maximum(number, 1) - mean**2
        better = told & (spread < least)
        quaternions[better], least[better], offsets[better] = (
            found[better],
            spread[better],
            mean[better],
        )

    return quaternions, offsets


def as_recovery(fit: Fit) -> Recovery:
    return Recovery(
        quaternions_to_rotations(fit.quaternions),
        fit.rms_rad,
        fit.expected_error_rad,
        fit.offsets_rad,
        fit.scale_rad,
        fit.loss_rad,
        fit.loss_rad2,
        history_rad2=tuple(fit.history),
    )


def _settle(
    pairs: PairDistances,
    quaternions: np.ndarray,
    rng: np.random.Generator,
    offsets_rad: Optional[np.ndarray] = None,
    task: str = "",
) -> Fit:
    """Least squares; then, while it improves the fit, a grid search for outliers and least squares
    again.
    """
    fit = refine(pairs, quaternions, steps=_STEPS, start_offsets_rad=offsets_rad, task=task)

    for _ in range(_ROUNDS):
        outlying = outliers(fit.rms_rad, pairs.degrees)
        # others look like outliers only because they were measured against the worst ones
        outlying &= fit.rms_rad > 0.5 * fit.rms_rad.max()
        if not outlying.any():
            break
        offsets = np.where(outlying, 0.0, fit.offsets_rad)
        moved = place(
            pairs.subtract_offsets(offsets),
            fit.quaternions,
            np.flatnonzero(outlying),
            ~outlying,
            fit.scale_rad,
            rng,
        )
        changed = (moved != fit.quaternions).any(axis=1)
        if not changed.any():
            break
        logger.debug("%d of %d particles fit better elsewhere.", changed.sum(), pairs.number)
        again = refine(pairs, moved, steps=_STEPS, start_offsets_rad=offsets, task=task)
        again.history = fit.history + again.history
        gain = 1 - again.loss_rad / fit.loss_rad
        fit = again if gain > 0 else fit
        if gain < _SMALL_GAIN:
            break

    return fit


def outliers(rms_rad: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """(N,) bool: particles whose distances fit clearly worse than most."""
    median = float(np.median(rms_rad))
    return rms_rad > np.maximum(median * (1 + _STRAY / np.sqrt(2.0 * degrees)), _SMALLEST_STRAY_RAD)


def _from_random_starts(pairs: PairDistances, rng: np.random.Generator) -> Fit:
    """For a few particles: the best of several least-squares fits from random rotations."""
    strong = pairs.with_weight()
    fits: List[Fit] = []
    while len(fits) < _STARTS and not (fits and fits[-1].loss_rad < _SMALLEST_STRAY_RAD):
        start = rng.standard_normal((pairs.number, 4))
        fits.append(
            refine(strong, start / np.linalg.norm(start, axis=1, keepdims=True), steps=_STEPS)
        )
    fits.sort(key=lambda fit: fit.loss_rad)
    settled: List[Fit] = []
    while len(settled) < min(_SETTLED, len(fits)) and not (
        settled and settled[-1].loss_rad < _SMALLEST_STRAY_RAD
    ):
        settled.append(_settle(strong, fits[len(settled)].quaternions, rng))
    return refine(pairs, min(settled, key=lambda fit: fit.loss_rad).quaternions, steps=20 * _STEPS)
