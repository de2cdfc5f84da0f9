"""Refinement of each particle at each of its symmetry mates, and the probability of each mate.

A pose A is right up to an operation of the group G. Of its n mates A c, one for each coset of the
subgroup H (see `geometry.subgroups`), each is refined against the map V without the symmetry (the
relaxed symmetry of RELION). With the gain of a mate, twice its log likelihood ratio,

    p_k = exp(a gain_k / 2) / sum_j exp(a gain_j / 2).

The amplitude a accounts for errors of the map. V is the sum of a symmetric part, which cannot tell
mates apart and is known well, and a small asymmetric part, which may be mostly noise. If the images
hold the asymmetric part with the amplitude a, 0 <= a <= 1, an image y has at mate k the log
likelihood ratio

    a <y - m0, e_k> - a^2 <e_k, e_k> / 2,    e_k = m_k - m0,

to the best fit m0 of the symmetric part, m_k being the fit of V. The amplitude is that of the
highest likelihood of all images, whose mates are equally probable beforehand. It is 1 for the true
map, and 0 for a map whose asymmetry has nothing to do with the images.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np
from scipy.optimize import minimize_scalar
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
#: Amplitudes at which the likelihood is computed before its maximum is sought between two of them.
_AMPLITUDES = np.linspace(0.0, 1.0, 41)
#: Below this significance, the asymmetry of a map may be noise.
_SIGNIFICANT = 3.0


class MateFits(NamedTuple):
    """Fits of N images at each of n mates.

    refined : the pose of the best mate; wrong_basin is that of the symmetric map. mate : (N,) which
    one it is. gain : (N, n). symmetric_gain : (N,) with the symmetric map. power : (N,) mean over
    the mates of <e, e>, e being the difference of the two models, in units of the noise.
    """

    refined: Refined
    mate: np.ndarray
    gain: np.ndarray
    symmetric_gain: np.ndarray
    power: np.ndarray


class Amplitude(NamedTuple):
    """Amplitude of the asymmetric part of a map in the images, in units of the map's own.

    information_nats : by how much it raises the log likelihood of an image, on average.
    significance : the square root of twice what it raises that of all images.
    """

    value: float
    information_nats: float
    significance: float

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
    return MateFits(_refined(best, start), mate, gain, start.gain, power.mean(axis=1))


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


def asymmetry_amplitude(
    gain: np.ndarray, symmetric_gain: np.ndarray, power: np.ndarray
) -> Amplitude:
    """The amplitude a of the module's docstring.

    Parameters
    ----------
    gain, symmetric_gain, power : (N, n), (N,) and (N,), see `MateFits`.
    """
    overlap = 0.5 * (gain - symmetric_gain[:, None] + power[:, None])

    def log_likelihood(amplitude: float) -> float:
        ratio = logsumexp(amplitude * overlap, axis=1) - np.log(gain.shape[1])
        return float((ratio - 0.5 * amplitude**2 * power).sum())

    values = [log_likelihood(a) for a in _AMPLITUDES]
    top = int(np.argmax(values))
    inner = _AMPLITUDES[max(top - 1, 0)], _AMPLITUDES[min(top + 1, len(_AMPLITUDES) - 1)]
    found = minimize_scalar(lambda a: -log_likelihood(a), bounds=inner, method="bounded")
    best, height = max(((_AMPLITUDES[top], values[top]), (found.x, -found.fun)), key=lambda p: p[1])
    height = max(height, 0.0)
    return Amplitude(float(best), height / len(gain), float(np.sqrt(2 * height)))


def mate_probabilities(gain: np.ndarray, amplitude: Amplitude) -> np.ndarray:
    """(N, n) probability of each mate, from the gains (N, n); 1 / n if the images do not show the
    asymmetry of the map.
    """
    return softmax(0.5 * amplitude.value * amplitude.tells_mates_apart * gain, axis=1)
