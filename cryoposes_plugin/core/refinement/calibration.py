"""Amplitude and noise of an optics group, from a sample of its images, in turns with their poses."""

from __future__ import annotations

from typing import Callable

import numpy as np
import tensorflow as tf

from .fourier_points import FourierPoints
from .levenberg_marquardt import Poses
from .likelihood import PoseLikelihood
from .multi_start import MultiStart
from .observations import Observations
from .spectra import Spectra, SpectraSums

#: Images that amplitude and noise are measured on.
SAMPLE = 768
#: Rounds of poses and spectra; the first, without a noise model, stays at low frequencies.
ROUNDS = 3


def reprojections(
    likelihood: PoseLikelihood, points: FourierPoints, observed: Observations, rotations, shifts_px
) -> np.ndarray:
    """(B, P) complex64 c exp(-2 pi i k.t / D) x(A^T k), unweighted."""
    real, imaginary = likelihood.slices(tf.constant(rotations, tf.float32), tf.constant(len(points)))
    phase = (-2 * np.pi / points.box_size_px) * shifts_px.astype(np.float32) @ points.frequencies.T
    return observed.modulation * (real.numpy() + 1j * imaginary.numpy()) * np.exp(1j * phase)


def measure_spectra(
    likelihood: PoseLikelihood, points: FourierPoints, observed: Observations, rotations, shifts_px, scale=None
) -> Spectra:
    """Spectra of images at poses (B, 3, 3), (B, 2), their own scales (B,) taken into account where they are known."""
    model = reprojections(likelihood, points, observed, rotations, shifts_px)
    # Scales around 1, so that the amplitude keeps the mean.
    scale = np.ones(len(model)) if scale is None else scale / max(float(np.median(scale)), 1e-12)
    sums = SpectraSums(points)
    sums.add(model, observed.coefficients, scale)
    return sums.spectra()


def calibrate(
    make: Callable[[Spectra], MultiStart],
    observed: Observations,
    starts: Poses,
    first: Spectra,
    last_shell: int,
) -> Spectra:
    """Spectra of a group from a sample of its images, up to `last_shell`; `make` builds a search with given spectra."""
    spectra = first
    for _ in range(ROUNDS):
        search = make(spectra)
        refined = search.refine(observed, starts)
        spectra = measure_spectra(
            search.likelihood, search.points, observed, refined.rotations, refined.shifts_px, refined.scale
        ).up_to(last_shell)
        if spectra.last_shell == 0:
            break
    return spectra
