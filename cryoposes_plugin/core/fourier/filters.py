"""Filters of maps."""

from __future__ import annotations

import numpy as np
from scipy import fft

from ..maps.fsc import shell_index

#: Shells over which a cut falls to zero.
_EDGE_SHELLS = 2.0


def low_pass(
    data: np.ndarray, pixel_size_angstrom: float, resolution_angstrom: float
) -> np.ndarray:
    """(D, D, D) float32 with nothing left beyond a resolution in Å: a cosine edge of two shells ends there."""
    box = data.shape[0]
    last = box * pixel_size_angstrom / resolution_angstrom
    depth = np.clip((last - shell_index(box)) / _EDGE_SHELLS, 0, 1)
    weight = (0.5 - 0.5 * np.cos(np.pi * depth)).astype(np.float32)
    return fft.irfftn(fft.rfftn(np.asarray(data, dtype=np.float32)) * weight, s=data.shape).astype(
        np.float32
    )
