"""Low-pass filters of maps and images."""

from __future__ import annotations

import numpy as np
from scipy import fft

from .masks import rising_edge
from .shells import shell_planes

#: Shells over which a low-pass filter falls to zero.
_EDGE_SHELLS = 2.0


def low_pass(
    data: np.ndarray, pixel_size_angstrom: float, resolution_angstrom: float
) -> np.ndarray:
    """(D, D, D) float32 without frequencies beyond a resolution in Å.

    The filter falls to zero over a cosine edge of two shells that ends at the resolution.
    """
    box = data.shape[0]
    last = box * pixel_size_angstrom / resolution_angstrom
    spectrum = fft.rfftn(np.asarray(data, dtype=np.float32))
    for plane, shells in zip(spectrum, shell_planes(box)):
        plane *= rising_edge((last - shells) / _EDGE_SHELLS).astype(np.float32)
    return fft.irfftn(spectrum, s=data.shape, overwrite_x=True).astype(np.float32, copy=False)


def gaussian_transfer(box_size_px: int, sigma_px: float) -> np.ndarray:
    """(D, D // 2 + 1) float64: the transform of a Gaussian of this standard deviation, 1 at zero."""
    squared = np.fft.fftfreq(box_size_px)[:, None] ** 2 + np.fft.rfftfreq(box_size_px) ** 2
    return np.exp(-2 * np.pi**2 * squared * sigma_px**2)
