"""Refinement of each particle at each of its symmetry mates, and the probability of each mate.

A pose A is right up to an operation of the group G. Of its n mates A c, one for each coset of the
subgroup H (see `geometry.subgroups`), each is refined against the map V without the symmetry (the
relaxed symmetry of RELION). With the gain of a mate, twice its log likelihood ratio,

    p_k = exp(a gain_k / 2 f) / sum_j exp(a gain_j / 2 f).

The amplitude a accounts for errors of the map, the dispersion f for what neither map nor noise model
explain. V is the sum of a symmetric part, which cannot tell mates apart and is known well, and a
small asymmetric part, which may be mostly noise. Let e_k be the difference of the fits of V at mate
k and of the symmetric part, of power P = <e_k, e_k>. The overlaps D_k = <y - m0, e_k> with what the
symmetric part leaves of an image differ from their mean over the mates by

    D_k - mean_j D_j = (gain_k - mean_j gain_j) / 2,

which is normal, of mean a P at the true mate and -a P / (n - 1) at the others, and of variance f P
(for mates that are equally far from each other). The amplitude, 0 <= a <= 1, and the dispersion are
those of the highest likelihood of all images, whose mates are equally probable beforehand: a = 1 and
f = 1 for the true map and noise, a = 0 for a map whose asymmetry has nothing to do with the images.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from ..geometry.subgroups import Cosets
from ..likelihood.pose_likelihood import PoseLikelihood
from ..parallel import in_order
from ..particles.batches import batches
from ..refinement.calibration import reprojections
from ..refinement.levenberg_marquardt import Optima, levenberg_marquardt
from ..refinement.multi_start import Refined, joined
from ..refinement.poses import Poses
from ..refinement.refinement import Refinement
from ..refinement.results import Results
from ..refinement.whitened_images import WhitenedImages

#: Number of poses that a thread refines at once.
_POSES_AT_ONCE = 512
_ITERATIONS = 25
#: From which amplitudes, as shares of the largest, the best one is sought, and how far the logarithm
#: of the dispersion is from that without an amplitude.
_FIRST_AMPLITUDES, _WIDEST = (0.05, 0.3, 0.9), 3.0
#: Below this significance, the asymmetry of a map may be noise.
_SIGNIFICANT = 3.0


class MateFits(NamedTuple):
    """Fits of N images at each of n mates.

    refined : the pose of the best mate; wrong_basin is that of the symmetric map. mate : (N,) which
    one it is. gain : (N, n). power : (N,) mean over the mates of the power P of the difference from
    the symmetric part, in units of the noise.
    """

    refined: Refined
    mate: np.ndarray
    gain: np.ndarray
    power: np.ndarray


class Amplitude(NamedTuple):
    """Amplitude of the asymmetric part of a map in the images, in units of the map's own.

    dispersion : variance of the overlaps, in units of that of the noise. information_nats : by how
    much the amplitude raises the log likelihood of an image, on average. significance : the square
    root of twice what it raises that of all images.
    """

    value: float
    dispersion: float
    information_nats: float
    significance: float

    @property
    def sharpness(self) -> float:
        """By what the log likelihood ratios of the mates are multiplied; 0 if they tell nothing."""
        return self.value / self.dispersion if self.tells_mates_apart else 0.0

    @property
    def tells_mates_apart(self) -> bool:
        """Whether the images show any asymmetry of the map."""
        return self.significance >= _SIGNIFICANT


def fit_mates(
    refinement: Refinement,
    results: Results,
    likelihood: PoseLikelihood,
    cosets: Cosets,
    rows: np.ndarray,
) -> MateFits:
    """Refine some particles at each of their mates.

    Parameters
    ----------
    refinement, results : of all particles, against the symmetric map.
    likelihood : of the map without the symmetry, on the grid of the refinement.
    cosets : of the subgroup.
    rows : of the particles.
    """
    size = max(1, _POSES_AT_ONCE // len(cosets))
    pieces = batches(refinement.table.take(rows), size)
    parts = [
        (part, fits)
        for part, fits in in_order(
            lambda part: _fit(refinement, results, likelihood, cosets, rows[part]),
            pieces,
            refinement.threads,
        )
    ]
    return in_rows(*zip(*parts))


def in_rows(rows: Sequence[np.ndarray], fits: Sequence[MateFits]) -> MateFits:
    """Fits of several sets of rows as one, in the order of the rows."""
    back = np.argsort(np.concatenate(rows), kind="stable")
    refined = joined([fit.refined for fit in fits]).take(back)
    return MateFits(refined, *(np.concatenate(part)[back] for part in list(zip(*fits))[1:]))


def _fit(
    refinement: Refinement,
    results: Results,
    likelihood: PoseLikelihood,
    cosets: Cosets,
    rows: np.ndarray,
) -> MateFits:
    """Of rows of one optics group."""
    points, start = refinement.points, results.refined.take(rows)
    spectra = results.spectra[int(refinement.table.optics_index[rows[0]])]
    observed = refinement.observe(rows)
    particle = np.repeat(np.arange(len(rows)), len(cosets))
    turns = np.tile(cosets.representatives, (len(rows), 1, 1))
    poses = Poses(particle, start.rotations[particle] @ turns, start.shifts_px[particle])

    images = WhitenedImages(likelihood, observed, points, spectra)
    gram = images.gram(float(max(spectra.last_shell, 1)))
    optima = levenberg_marquardt(gram, poses, _ITERATIONS)

    # The difference of each fit from that of the symmetric map.
    _, modulation = observed.whitened(points, spectra)
    symmetric = start.scale[:, None] * reprojections(
        refinement.likelihood, points, modulation, start.rotations, start.shifts_px
    )
    at = optima.poses
    fitted = optima.scale[:, None] * reprojections(
        likelihood, points, modulation[particle], at.rotations, at.shifts_px
    )
    power = (np.abs(fitted - symmetric[particle]) ** 2).sum(axis=1).reshape(len(rows), -1)

    gain = optima.gain.reshape(len(rows), -1)
    mate = gain.argmax(axis=1)
    best = optima.take(np.arange(len(rows)) * len(cosets) + mate)
    return MateFits(_refined(best, start), mate, gain, power.mean(axis=1))


def _refined(best: Optima, start: Refined) -> Refined:
    """The best mates, with what the symmetric refinement knows of the particles."""
    sign, _ = np.linalg.slogdet(best.normal)
    fits = (best.scale > 0) & (sign > 0)
    covariance = np.where(
        fits[:, None, None], np.linalg.pinv(best.normal, hermitian=True), start.covariance
    )
    return Refined(
        best.poses.rotations,
        best.poses.shifts_px,
        best.gain,
        best.scale,
        covariance,
        start.basins,
        start.wrong_basin,
        best.converged & fits,
    )


def asymmetry_amplitude(gain: np.ndarray, power: np.ndarray, largest: float = 1.0) -> Amplitude:
    """The amplitude a of the module's docstring, and the dispersion.

    Parameters
    ----------
    gain, power : (N, n) and (N,), see `MateFits`.
    largest : limit of the amplitude.
    """
    mates = gain.shape[1]
    informative = power > 0
    number = max(int(informative.sum()), 1)
    power = power[informative]
    overlap = 0.5 * (gain[informative] - gain[informative].mean(axis=1, keepdims=True))
    spread = float(((overlap**2).sum(axis=1) / power).sum()) / mates

    def cost(values: Sequence[float]) -> float:
        """Of amplitude and logarithm of the dispersion: less the log likelihood of an image."""
        amplitude, dispersion = values[0], np.exp(values[1])
        ratio = logsumexp(amplitude / dispersion * overlap, axis=1) - np.log(mates)
        fit = (ratio - 0.5 * amplitude**2 * power / dispersion).sum()
        width = number * values[1] + spread / dispersion
        return (0.5 * (mates - 1) * width - float(fit)) / number

    alone = np.log(max(spread / number, 1e-9))  # the dispersion without an amplitude
    nothing = cost((0.0, alone))
    limits = [(0.0, largest), (alone - _WIDEST, alone + _WIDEST)]
    tried = [
        minimize(cost, (share * largest, alone), method="L-BFGS-B", bounds=limits)
        for share in _FIRST_AMPLITUDES
    ]
    best = min(tried, key=lambda found: found.fun)
    information = max(nothing - float(best.fun), 0.0)
    significance = float(np.sqrt(2 * number * information))
    return Amplitude(float(best.x[0]), float(np.exp(best.x[1])), information, significance)


def mate_probabilities(gain: np.ndarray, amplitude: Amplitude) -> np.ndarray:
    """(N, n) probability of each mate, from the gains (N, n); 1 / n if the images do not show the
    asymmetry of the map.
    """
    return softmax(0.5 * amplitude.sharpness * gain, axis=1)
