"""Phase ramps exp(-2 pi i k.t): what a displacement t does to the transform of an image or a map.

To undo a displacement, give -t.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np


def line_phases(displacements: np.ndarray, angular_frequencies: np.ndarray) -> np.ndarray:
    """exp(-i w t) along one axis: t (...) and w (P,), in radians per unit of t -> (..., P)
    complex128.
    """
    return np.exp(-1j * displacements[..., None] * angular_frequencies)


def axis_ramps(shifts_px: np.ndarray, box_size_px: int) -> Tuple[np.ndarray, np.ndarray]:
    """The two factors of `phase_ramp`: along y, (B, D, 1), and along x, (B, 1, D // 2 + 1)."""
    along_y = line_phases(shifts_px[:, 1], 2 * np.pi * np.fft.fftfreq(box_size_px))
    along_x = line_phases(shifts_px[:, 0], 2 * np.pi * np.fft.rfftfreq(box_size_px))
    return along_y[:, :, None], along_x[:, None, :]


def phase_ramp(shifts_px: np.ndarray, box_size_px: int) -> np.ndarray:
    """(B, D, D // 2 + 1) complex128 for `rfft2` of images moved by (B, 2) shifts (x, y) in pixels."""
    along_y, along_x = axis_ramps(shifts_px, box_size_px)
    return along_y * along_x


def point_ramp(points: np.ndarray, shift_px: np.ndarray, box_size_px: int) -> np.ndarray:
    """exp(-2 pi i k.t / D) at single frequencies.

    Parameters
    ----------
    points : (..., n) frequencies k in cycles per box, (x, y) or (x, y, z).
    shift_px : (n,) displacement t in pixels, in the same order.
    box_size_px : D.

    Returns
    -------
    (...) complex128.
    """
    return np.exp(1j * ((-2 * np.pi / box_size_px) * (points @ np.asarray(shift_px))))
