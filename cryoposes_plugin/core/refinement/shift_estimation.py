"""The shift of a particle in its image: sub-pixel correlation with the reprojection at its pose.

With X the image and P the CTF-modulated reprojection without shift, the shift t of the model X =
S_t P + n that fits best under noise of power 1 / W maximises sum_k W Re(conj(P^) X^ exp(2 pi i k.t
/ D)). The maximum is searched on whole pixels by FFT, then on a fine grid around it by a small
matrix DFT, and is then interpolated by a parabola.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np
import scipy.fft

from ..fourier.phase_ramp import axis_ramps, line_phases

_FINE_STEP_PX = 0.125
_FINE_REACH_PX = 1.0


@dataclass(frozen=True)
class ShiftEstimate:
    """Shifts t (B, 2), (x, y) in px; whether each lies at the edge of the search, (B,); the
    correlation there, (B,).
    """

    shifts_px: np.ndarray
    at_edge: np.ndarray
    correlation: np.ndarray


def estimate_shifts(
    images: np.ndarray,
    reprojections: np.ndarray,
    max_shift_px: float,
    weights: Optional[np.ndarray] = None,
) -> ShiftEstimate:
    """Displacement of each image against its reprojection.

    Parameters
    ----------
    images : (B, D, D), any scale and offset.
    reprojections : (B, D, D), CTF-modulated as the images are, at shift zero.
    max_shift_px : largest |t| that is searched; 0 gives zeros.
    weights : (D, D // 2 + 1), W above: see `shift_weights`; default: all equal.

    Returns
    -------
    float64; a constant image or reprojection gives t = 0 and correlation 0.
    """
    box = images.shape[-1]
    image_ft = _spectrum(images)
    reprojection_ft = _spectrum(reprojections)
    multiplicity = _multiplicity(box)
    weights = (multiplicity > 0) * (np.float32(1.0) if weights is None else weights)
    product = np.conj(reprojection_ft) * image_ft * weights

    coarse = _whole_pixel_peaks(product, max_shift_px)
    shifts, heights = _refine(product * multiplicity, coarse, box)
    length = np.linalg.norm(shifts, axis=1)
    shrink = np.minimum(1.0, max_shift_px / np.maximum(length, 1e-12))
    at_edge = (length > max_shift_px - _FINE_STEP_PX) & (length > 0)

    norm = np.sqrt(
        _power(image_ft, weights * multiplicity) * _power(reprojection_ft, weights * multiplicity)
    )
    signal = norm > 0
    correlation = np.divide(heights, norm, out=np.zeros_like(norm), where=signal)
    return ShiftEstimate(
        np.where(signal[:, None], shifts * shrink[:, None], 0.0), at_edge & signal, correlation
    )


def _spectrum(images: np.ndarray) -> np.ndarray:
    """(B, D, D // 2 + 1) complex, mean removed."""
    spectrum = scipy.fft.rfft2(np.asarray(images, dtype=np.float32))
    spectrum[:, 0, 0] = 0
    return spectrum


def _multiplicity(box: int) -> np.ndarray:
    """(D, D // 2 + 1): how often a coefficient of `rfft2` occurs in the whole plane; 0 at Nyquist,
    which cannot be shifted.
    """
    multiplicity = np.full((box, box // 2 + 1), 2.0, dtype=np.float32)
    multiplicity[:, 0] = 1.0
    if box % 2 == 0:
        multiplicity[:, -1] = 0.0
        multiplicity[box // 2, :] = 0.0
    return multiplicity


def _power(spectrum: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.einsum("byx,yx->b", spectrum.real**2 + spectrum.imag**2, weights, dtype=np.float64)


def _whole_pixel_peaks(product: np.ndarray, max_shift_px: float) -> np.ndarray:
    """(B, 2) integers (x, y): the highest correlation within the radius."""
    box = product.shape[1]
    reach = int(min(np.floor(max_shift_px), box // 2 - 1))
    axis = np.arange(-reach, reach + 1)
    correlation = scipy.fft.irfft2(product, s=(box, box))[:, axis[:, None], axis[None, :]]
    correlation = np.where(
        axis[:, None] ** 2 + axis[None, :] ** 2 <= max_shift_px**2, correlation, -np.inf
    )
    peak = correlation.reshape(len(product), -1).argmax(axis=1)
    return np.stack([axis[peak % len(axis)], axis[peak // len(axis)]], axis=1)


def _refine(product: np.ndarray, coarse: np.ndarray, box: int):
    """(B, 2) shifts and (B,) heights of the correlation's maximum within a pixel of the coarse one."""
    offsets = np.arange(
        -_FINE_REACH_PX - _FINE_STEP_PX, _FINE_REACH_PX + 1.5 * _FINE_STEP_PX, _FINE_STEP_PX
    )
    along_y, along_x = axis_ramps(-coarse, box)
    moved = product * along_y * along_x
    ky, kx = (2 * np.pi * f(box) for f in (np.fft.fftfreq, np.fft.rfftfreq))
    rows, columns = (line_phases(-offsets, k).astype(np.complex64) for k in (ky, kx))

    fine = np.matmul(np.matmul(rows, moved.astype(np.complex64)), columns.T).real.astype(np.float64)
    inner = fine[:, 1:-1, 1:-1].reshape(len(fine), -1).argmax(axis=1)
    y, x = np.divmod(inner, len(offsets) - 2)
    y, x, image = y + 1, x + 1, np.arange(len(fine))

    at_y, height_y = _parabola(*(fine[image, y + d, x] for d in (-1, 0, 1)))
    at_x, height_x = _parabola(*(fine[image, y, x + d] for d in (-1, 0, 1)))
    shifts = np.stack(
        [offsets[x] + at_x * _FINE_STEP_PX, offsets[y] + at_y * _FINE_STEP_PX], axis=1
    )
    return coarse + shifts, fine[image, y, x] + height_x + height_y


def _parabola(left: np.ndarray, centre: np.ndarray, right: np.ndarray):
    """Position of the vertex in steps from the centre, within half a step, and its height above the
    centre.
    """
    curvature = left - 2 * centre + right
    slope = 0.5 * (right - left)
    position = np.clip(
        np.divide(-slope, curvature, out=np.zeros_like(slope), where=curvature < 0), -0.5, 0.5
    )
    return position, 0.5 * slope * position
