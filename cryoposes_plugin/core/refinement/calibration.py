"""Amplitude and noise of an optics group, measured on a sample of its images, alternating with
their poses.
"""

from __future__ import annotations

from typing import Callable, Optional

import numpy as np
from scipy.spatial.transform import Rotation

from ..fourier.points import FourierPoints
from ..likelihood.pose_likelihood import PARAMETERS, PoseLikelihood
from ..needs import SPECTRA_ROUNDS
from .multi_start import MultiStart
from .observations import Observations
from .poses import Poses
from .scales import right_by_scale, typical_scale
from .spectra import ShellProducts, Spectra, fitted_spectra

#: Number of images on which amplitude and noise are measured.
SAMPLE = SPECTRA_ROUNDS[-1]
#: The expansion of `attenuation` does not hold below; most images that it is measured on.
_LEAST_KEPT, _ATTENUATED = 0.5, 128
#: Fewer scales do not show which of them are low.
_FEWEST_FOR_SCALES = 20


def reprojections(
    likelihood: PoseLikelihood,
    points: FourierPoints,
    modulation: np.ndarray,
    rotations: np.ndarray,
    shifts_px: np.ndarray,
) -> np.ndarray:
    """Unweighted reprojections of a map, c exp(-2 pi i k.t / D) x(A^T k), (B, P) complex64.

    Parameters
    ----------
    likelihood : of the map.
    points : of images and map.
    modulation : (B, P) of each image, see `Observations`.
    rotations, shifts_px : (B, 3, 3) and (B, 2).
    """
    out = np.empty((len(rotations), len(points)), np.complex64)
    for part in points.parts(len(rotations)):
        slices, phases = (
            likelihood.slices(rotations[part], len(points)),
            points.phases(shifts_px[part]),
        )
        out[part] = modulation[part] * slices * phases
    return out


def measure_spectra(
    likelihood: PoseLikelihood,
    points: FourierPoints,
    observed: Observations,
    rotations: np.ndarray,
    shifts_px: np.ndarray,
    scale: Optional[np.ndarray] = None,
    error: Optional[np.ndarray] = None,
) -> Spectra:
    """Spectra of images at given poses.

    Parameters
    ----------
    likelihood : of the map.
    points : of images and map.
    observed : B images of one optics group.
    rotations, shifts_px : (B, 3, 3) and (B, 2).
    scale, error : (B,) of the signal of each image, if it is known, and its standard error.
    """
    products = []
    for part in points.parts(len(rotations)):
        at = observed.modulation[part], rotations[part], shifts_px[part]
        model = reprojections(likelihood, points, *at)
        products.append(ShellProducts.of(points, model, observed.coefficients[part]))

    right = np.ones(len(rotations), dtype=bool)
    if scale is None:
        scale = np.ones(len(rotations))
    else:
        # Scales around 1, so that the amplitude is that of right poses.
        centre = float(np.median(scale))
        if error is not None and len(scale) >= _FEWEST_FOR_SCALES:
            centre = typical_scale(scale, error)
            right = right_by_scale(scale, centre)
        scale = scale / max(centre, 1e-12)
    return fitted_spectra(points, ShellProducts.joined(products), scale, right)


def attenuation(
    likelihood: PoseLikelihood,
    points: FourierPoints,
    modulation: np.ndarray,
    poses: Poses,
    covariance: np.ndarray,
) -> np.ndarray:
    """(number_of_shells,) by which the amplitude at refined poses is to be multiplied.

    Poses that are fitted to images take noise for signal. With errors of covariance C and the
    derivatives J of the reprojections m, the amplitude comes out too large by tr(J C J^T) / 2 |m|^2:
    the noise adds tr(J C J^T), and half of it is lost because the poses are off. As much is lost if
    such errors are put on top of the refined poses, m': sum Re(m* m') / sum |m|^2. The mean over
    errors is that of the points sqrt(5) from the pose along the axes of C (Julier and Uhlmann 1997).

    Parameters
    ----------
    likelihood : of the map.
    points : of images and map.
    modulation : (B, P) of each image, see `Observations`.
    poses : one for each image.
    covariance : (B, 5, 5) of their errors (w, dt).
    """
    variance, axes = np.linalg.eigh(covariance)
    errors = axes * np.sqrt(PARAMETERS * np.maximum(variance, 0.0))[:, None, :]
    cross, power = np.zeros((2, points.number_of_shells))

    for part in points.parts(len(errors)):
        given = likelihood, points, modulation[part]
        rotations, shifts_px = poses.rotations[part], poses.shifts_px[part]
        model = reprojections(*given, rotations, shifts_px)
        power += points.shell_means((np.abs(model) ** 2).sum(axis=0))
        for axis in range(PARAMETERS):
            for error in (errors[part, :, axis], -errors[part, :, axis]):
                turned = Rotation.from_rotvec(error[:, :3]).as_matrix() @ rotations
                other = reprojections(*given, turned, shifts_px + error[:, 3:])
                cross += points.shell_means((model.conj() * other).real.sum(axis=0))
    cross /= 2 * PARAMETERS
    kept = np.divide(cross, power, out=np.ones_like(cross), where=power > 0)
    return np.clip(kept, _LEAST_KEPT, 1.0)


def calibrate(
    make: Callable[[Spectra], MultiStart],
    observed: Observations,
    starts: Poses,
    first: Spectra,
    last_shell: int,
    threads: int = 0,
) -> Spectra:
    """Spectra of an optics group from a sample of its images.

    Parameters
    ----------
    make : makes a search with given spectra.
    observed : the sample.
    starts : poses to start from.
    first : spectra to begin with.
    last_shell : beyond which no spectra are measured.
    threads : that work on parts of the sample; 0: one for each core.
    """
    spectra = first
    for number in SPECTRA_ROUNDS:
        search, sample = make(spectra), observed.take(slice(0, number))
        refined = search.refine_in_parts(sample, starts.take(starts.particle < number), threads)

        spectra = measure_spectra(
            search.likelihood,
            search.points,
            sample,
            refined.rotations,
            refined.shifts_px,
            refined.scale,
            refined.scale_error,
        ).up_to(last_shell)
        centre = typical_scale(refined.scale, refined.scale_error)
        right = np.flatnonzero(right_by_scale(refined.scale, centre))[:_ATTENUATED]
        kept = attenuation(
            search.likelihood,
            search.points,
            sample.modulation[right],
            refined.take(right).poses,
            refined.covariance[right],
        )
        spectra = Spectra(kept * spectra.amplitude, spectra.noise_variance)
        if spectra.last_shell == 0:
            break
    return spectra


def agreement(search: MultiStart, observed: Observations, starts: Poses) -> float:
    """Significance of the agreement of images and map: standard normal if they are unrelated, large
    if they agree.

    Any map fits noise once poses are fitted to it. So poses are found with one half of the
    coefficients and tested on the other half, whose noise is independent: sum <m, y> / sqrt(sum <m,
    m>) over all images.
    """
    points, spectra = search.points, search.spectra
    first = np.random.default_rng(0).random(len(points)) < 0.5
    refined = search.refine_in_parts(observed.only(first), starts, threads=1)

    weight = np.where(
        spectra.amplitude > 0,
        2 * spectra.amplitude / np.maximum(spectra.noise_variance, 1e-300),
        0.0,
    )
    held_out = np.where(first, 0.0, weight[points.shell])
    overlap = power = 0.0
    for part in points.parts(len(observed.coefficients)):
        at = observed.modulation[part], refined.rotations[part], refined.shifts_px[part]
        model = reprojections(search.likelihood, points, *at)
        together = (model.conj() * observed.coefficients[part]).real
        overlap += float((together @ held_out).sum())
        power += float((np.abs(model) ** 2 @ (held_out * spectra.amplitude[points.shell])).sum())
    return overlap / float(np.sqrt(max(power, 1e-300)))
