"""Radiation damage in images that were summed with dose weights."""

from __future__ import annotations

import numpy as np
import scipy.fft

from ...fourier.shells import squared_frequencies
from ...types import Volume

#: Critical exposure a k^b + c in e/Å^2 at 300 kV, with k in 1/Å (Grant & Grigorieff 2015, eq. 3),
#: and its factor at 200 kV or less.
_CRITICAL, _AT_200_KV = (0.24499, -1.6649, 2.8141), 0.8


def critical_dose(frequency: np.ndarray, voltage_kv: float) -> np.ndarray:
    """Exposure (e/Å^2) after which the amplitude at a frequency (1/Å) has fallen to
    exp(-1/2); infinite at 0.
    """
    a, b, c = _CRITICAL
    with np.errstate(divide="ignore"):
        dose = a * np.asarray(frequency, dtype=np.float64) ** b + c
    return dose if voltage_kv > 250 else _AT_200_KV * dose


def dose_envelope(
    frequency: np.ndarray, dose_e_per_angstrom2: float, voltage_kv: float
) -> np.ndarray:
    """Amplitude of the signal over that without damage, for noise of unchanged spectrum.

    A frame at exposure n has the amplitude q = exp(-n / 2 N) at critical exposure N. Frames weighted
    by q, their sum divided by the root of the sum of q^2 to keep the noise, hold the signal
    (mean of q^2)^(1/2) = (N / n_total (1 - exp(-n_total / N)))^(1/2).

    Parameters
    ----------
    frequency : in 1/Å.
    dose_e_per_angstrom2 : total exposure.
    voltage_kv : of the microscope.
    """
    ratio = dose_e_per_angstrom2 / critical_dose(frequency, voltage_kv)
    small = ratio < 1e-6
    safe = np.where(small, 1.0, ratio)
    return np.sqrt(np.where(small, 1.0 - ratio / 2, -np.expm1(-safe) / safe))


def after_exposure(volume: Volume, dose_e_per_angstrom2: float, voltage_kv: float) -> Volume:
    """A volume whose projections have the dose envelope."""
    box, pixel = volume.box_size_px, volume.pixel_size_angstrom
    frequency = np.sqrt(squared_frequencies(box, 3)) / (box * pixel)
    gain = dose_envelope(frequency, dose_e_per_angstrom2, voltage_kv).astype(np.float32)
    data = scipy.fft.irfftn(scipy.fft.rfftn(volume.data) * gain, s=volume.data.shape)
    return Volume(data.astype(np.float32), pixel)
