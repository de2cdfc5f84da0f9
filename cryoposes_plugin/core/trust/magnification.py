"""By how much images and map differ in magnification, and what that does to the poses.

Images whose pixel is 1 + e times as large as stated show the map at the frequencies k / (1 + e). With
the model m at the refined pose, its derivatives J by the pose and d by e, the scale s
of the particle profiled out, and H and h the parts of the normal matrix of (pose, e),

    g = <d, y - s m> s,    q = s^2 <d, d> - h^T H^-1 h,    e = sum g / sum q  over the particles

is the score test's estimate of e (Rao 1948), with a standard error 1 / sqrt(sum q). A pose that is
refined as if e were 0 is off by H^-1 h e.
"""

from __future__ import annotations

import dataclasses
from typing import Iterator, NamedTuple, Tuple

import numpy as np
from scipy.spatial.transform import Rotation

from ..fourier.points import FourierPoints
from ..likelihood.pose_likelihood import PARAMETERS, PoseLikelihood
from ..parallel import in_order
from ..particles.batches import batches
from ..refinement.multi_start import Refined
from ..refinement.observations import Observations
from ..refinement.refinement import Refinement
from ..refinement.results import Results
from ..refinement.spectra import Spectra

#: Steps of the differences: of the rotations in radians, and of the magnification.
_TURN_RAD, _STEP = 1e-3, 2e-3
#: Number of particles on which e is measured, and how many are worked on at once.
_SAMPLE, _AT_ONCE = 256, 64
#: A difference counts if it is so many standard errors and this large.
_STANDARD_ERRORS, _LEAST = 5.0, 1e-3


class Magnification(NamedTuple):
    """How much larger than stated the pixels of the images seem, as a share; its standard error."""

    excess: float
    error: float

    @property
    def differs(self) -> bool:
        """Whether it is no chance, and large enough to matter."""
        return abs(self.excess) > max(_LEAST, _STANDARD_ERRORS * self.error)

    @property
    def sentence(self) -> str:
        size = "larger" if self.excess > 0 else "smaller"
        return (
            f"The images fit the volume best if their pixel is {100 * abs(self.excess):.2f} % {size} "
            f"than stated (± {100 * self.error:.2f} %), or that of the volume as much "
            f"{'smaller' if self.excess > 0 else 'larger'}. The expected errors include what this "
            "does to the poses; correct the pixel size of either, and the poses become better."
        )


class MagnificationScores(NamedTuple):
    """Of B images: gradient g and information q of e (B,), and response H^-1 h (B, 5) of the pose
    (w, t) to it, in radians and pixels.
    """

    gradient: np.ndarray
    information: np.ndarray
    response: np.ndarray


def measure_magnification(
    refinement: Refinement, results: Results, rows: np.ndarray, seed: int
) -> Magnification:
    """The difference in magnification, on a sample of the particles.

    Parameters
    ----------
    refinement, results : of a set.
    rows : particles whose poses are right.
    seed : of the sample.
    """
    rows = np.sort(np.random.default_rng([seed, 31]).permutation(rows)[:_SAMPLE])
    parts = list(_scores_of(refinement, results, rows))
    information = sum(float(part.information.sum()) for _, part in parts)
    if information <= 0:
        return Magnification(0.0, np.inf)
    gradient = sum(float(part.gradient.sum()) for _, part in parts)
    return Magnification(gradient / information, information**-0.5)


def with_magnification(
    refinement: Refinement, results: Results, magnification: Magnification
) -> Results:
    """Results whose covariances contain what a difference in magnification does to the poses.

    Parameters
    ----------
    refinement, results : of a set.
    magnification : the difference.
    """
    covariance = results.refined.covariance.copy()
    for rows, part in _scores_of(refinement, results, np.arange(len(covariance))):
        moved = magnification.excess * part.response
        covariance[rows] += moved[:, :, None] * moved[:, None, :]
    refined = dataclasses.replace(results.refined, covariance=covariance)
    return dataclasses.replace(results, refined=refined)


def _scores_of(
    refinement: Refinement, results: Results, rows: np.ndarray
) -> Iterator[Tuple[np.ndarray, MagnificationScores]]:
    """Batches of rows with their scores."""
    table = refinement.table
    pieces = [
        rows[part]
        for part in batches(table.take(rows), min(_AT_ONCE, refinement.points.images_at_once))
    ]

    def work(own: np.ndarray) -> MagnificationScores:
        return magnification_scores(
            refinement.likelihood,
            refinement.points,
            results.spectra[int(table.optics_index[own[0]])],
            refinement.observe(own),
            results.refined.take(own),
        )

    yield from in_order(work, pieces, refinement.threads)


def magnification_scores(
    likelihood: PoseLikelihood,
    points: FourierPoints,
    spectra: Spectra,
    observed: Observations,
    refined: Refined,
) -> MagnificationScores:
    """The scores of images at their refined poses.

    Parameters
    ----------
    likelihood : of the map.
    points : of images and map.
    spectra : of the images' optics group.
    observed : B images.
    refined : their poses.
    """
    y, c = observed.whitened(points, spectra)
    rotations, number = refined.rotations, len(points)
    step = (-2 * np.pi / points.box_size_px) * points.frequencies
    carried = c * points.phases(refined.shifts_px)

    def model(at: np.ndarray) -> np.ndarray:
        return carried * likelihood.slices(at, number)

    m = model(rotations)
    rows = np.empty((len(y), PARAMETERS + 3, number), np.complex64)
    for axis, turn in enumerate(Rotation.from_rotvec(_TURN_RAD * np.eye(3)).as_matrix()):
        rows[:, axis] = (model(turn @ rotations) - model(turn.T @ rotations)) / (2 * _TURN_RAD)
    for axis in (0, 1):
        rows[:, 3 + axis] = 1j * step[:, axis] * m
    rows[:, PARAMETERS] = (model(rotations / (1 + _STEP)) - m) / _STEP
    rows[:, PARAMETERS + 1], rows[:, PARAMETERS + 2] = m, y
    parts = rows.view(np.float32)  # the real part of a product is that of real and imaginary parts
    return _scores((parts @ np.swapaxes(parts, 1, 2)).astype(np.float64))


def _scores(gram: np.ndarray) -> MagnificationScores:
    """From the inner products (B, 8, 8) of the derivatives by pose and e, the model and the image."""
    with_model, power = gram[:, :6, 6], np.maximum(gram[:, 6, 6], 1e-30)
    scale = np.maximum(gram[:, 6, 7], 0.0) / power
    gradient = scale[:, None] * (gram[:, :6, 7] - scale[:, None] * with_model)
    outer = with_model[:, :, None] * with_model[:, None, :]
    normal = scale[:, None, None] ** 2 * (gram[:, :6, :6] - outer / power[:, None, None])

    pose, own = slice(0, PARAMETERS), PARAMETERS
    inverse = np.linalg.pinv(normal[:, pose, pose], hermitian=True)
    response = np.einsum("bij,bj->bi", inverse, normal[:, pose, own])
    return MagnificationScores(
        gradient[:, own] - (response * gradient[:, pose]).sum(axis=1),
        normal[:, own, own] - (response * normal[:, pose, own]).sum(axis=1),
        response,
    )
