"""Frequency weights for estimating shifts when the pose is only approximate.

A pose that is off by an angle moves the density by that angle times its distance from the centre.
Beyond the frequency of that displacement, image and reprojection no longer agree, and the
reprojection acts as noise. Without weights it biases the correlation (70S ribosome, pose errors of
15°, SNR 0.4: shift errors of 1.5 px instead of 0.5 px). With the cross spectrum C, the
reprojection's power P and the image's power Y in a shell, the best estimate of the image is C / P
times the reprojection, its residual has power Y - C^2 / P, and the weight in the correlation is the
ratio of the two.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from ..fourier.filters import gaussian_transfer
from ..fourier.phase_ramp import phase_ramp
from ..fourier.shells import shell_counts, shell_index, shell_means
from .shift_estimation import estimate_shifts

#: The pose error that is assumed before anything is measured.
_EXPECTED_ERROR_RAD = np.deg2rad(20.0)
#: Share of a displacement angle * radius along one axis of the image, averaged over the density.
_SEEN_PART = 0.45
#: Below this many images the spectra are too noisy to measure weights from.
FEWEST_IMAGES = 64
_SMALLEST_RESIDUAL = 1e-3
#: A shell is used if its cross spectrum is this many times the value expected by chance.
_SIGNIFICANT = 3.0


def prior_weights(box_size_px: int, radius_px: float) -> np.ndarray:
    """(D, D // 2 + 1) float32: expected agreement of image and reprojection for a particle of this
    radius.
    """
    displacement = radius_px * _EXPECTED_ERROR_RAD * _SEEN_PART
    return gaussian_transfer(box_size_px, displacement).astype(np.float32)


def measured_weights(
    images: np.ndarray, reprojections: np.ndarray, max_shift_px: float, prior: np.ndarray
) -> np.ndarray:
    """Weights (D, D // 2 + 1) float32, measured shell by shell on images that are aligned with the
    prior weights.

    The prior is returned for fewer images than FEWEST_IMAGES, and if images and reprojections have
    nothing in common.

    Parameters
    ----------
    images, reprojections : (B, D, D); the reprojections at shift zero.
    max_shift_px : largest shift that is searched.
    prior : (D, D // 2 + 1) weights to begin with.
    """
    if len(images) < FEWEST_IMAGES:
        return prior

    box = images.shape[-1]
    shifts = estimate_shifts(images, reprojections, max_shift_px, prior).shifts_px
    image_ft, reprojection_ft = (
        scipy.fft.rfft2(np.asarray(a, dtype=np.float32)) for a in (images, reprojections)
    )
    back, shells = phase_ramp(-shifts, box), shell_index(box, 2)
    cross = shell_means((np.conj(reprojection_ft) * image_ft * back).real.mean(axis=0), shells)
    power = shell_means((np.abs(reprojection_ft) ** 2).mean(axis=0), shells)
    image_power = shell_means((np.abs(image_ft) ** 2).mean(axis=0), shells)
    amplitude = np.clip(cross, 0, None) / np.maximum(power, 1e-9 * power.max() + 1e-30)
    residual = np.maximum(image_power - amplitude * cross, _SMALLEST_RESIDUAL * image_power + 1e-30)
    chance = np.sqrt(power * residual / (len(images) * shell_counts(shells)))
    weights = np.where(cross > _SIGNIFICANT * chance, amplitude / residual, 0.0)

    weights[0] = 0
    weights[box // 2 :] = 0
    if not weights.max() > 0:
        return prior
    return (weights / weights.max())[shells].astype(np.float32)
