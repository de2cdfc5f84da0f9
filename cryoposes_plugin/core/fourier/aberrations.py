"""Aberrations of an optics group and its anisotropic magnification, in RELION's conventions.

With k the frequency in 1/Å in the frame of the image, and M the magnification matrix, the
coefficient of an image is

    I^(k) = C(M k) exp(i phi(M k)) exp(-2 pi i (M k).t) X(A^T M k),

phi of odd Zernike polynomials, in which beam tilt is included, and C with even ones in its phase
(Zivanov, Nakane & Scheres 2020). `correct` turns it once and for all into the coefficient of an
image without either, C(k) exp(-2 pi i k.t) X(A^T k). Noise stays white, as its phases alone change.
Displacements t are therefore in the frame of the corrected image (`true_shifts`).

Coefficient i of an even phase belongs to n = 2 j, m = 2 (i - j^2 - j) with j = floor(sqrt(i)), and
of an odd one to n = 2 j + 1, m = 2 (i - j^2 - j) - n with j = floor((sqrt(1 + 4 i) - 1) / 2). The
unit of length of the polynomials is 1/Å.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, List, Sequence, Tuple

import numpy as np
from scipy import fft

from .ctf import electron_wavelength_angstrom, frequency_grid, zernike

_IDENTITY = ((1.0, 0.0), (0.0, 1.0))


@dataclass(frozen=True)
class Aberrations:
    """Of an optics group.

    Attributes
    ----------
    odd, even : coefficients of the Zernike polynomials, in radians; () for none.
    magnification : the rows of M: the frequency k of an image is the frequency M k of the particle.
    """

    odd: Tuple[float, ...] = ()
    even: Tuple[float, ...] = ()
    magnification: Tuple[Tuple[float, float], Tuple[float, float]] = _IDENTITY

    @property
    def stretches(self) -> bool:
        return self.magnification != _IDENTITY

    @property
    def change_images(self) -> bool:
        """Whether `correct` does anything."""
        return self.stretches or any(self.odd)

    @property
    def matrix(self) -> np.ndarray:
        return np.array(self.magnification)


def beam_tilt_coefficients(
    tilt_mrad: Sequence[float], voltage_kv: float, spherical_aberration_mm: float
) -> np.ndarray:
    """(6,) odd coefficients of the phase -2 pi Cs lambda^2 |k|^2 (k.tilt) of a beam tilt (x, y)."""
    wavelength = electron_wavelength_angstrom(voltage_kv)
    radians, angstrom = 1e-3, 1e7
    x, y = (
        -2 * math.pi / 3 * angstrom * spherical_aberration_mm * wavelength**2 * radians * tilt
        for tilt in tilt_mrad
    )
    return np.array([2 * y, 2 * x, 0.0, y, x, 0.0])


def added(a: Sequence[float], b: Sequence[float]) -> Tuple[float, ...]:
    """Sums of coefficients; the shorter list goes on with zeros."""
    total = np.zeros(max(len(a), len(b)))
    total[: len(a)] += a
    total[: len(b)] += b
    return tuple(total.tolist())


def odd_phase(x: Any, y: Any, coefficients: Sequence[float]) -> Any:
    """phi at the frequencies x and y, in 1/Å: arrays or tensors of one shape."""
    total = 0.0 * x
    for i, value in enumerate(coefficients):
        if value:
            total = total + value * zernike(*_odd_degree(i), x, y)
    return total


def _odd_degree(index: int) -> Tuple[int, int]:
    """(n, m) of an odd coefficient."""
    j = (math.isqrt(1 + 4 * index) - 1) // 2
    n = 2 * j + 1
    return n, 2 * (index - j * j - j) - n


def correct(images: np.ndarray, aberrations: Aberrations, pixel_size_angstrom: float) -> np.ndarray:
    """Images (B, D, D) as they would be without odd aberrations and with equal magnification.

    Parameters
    ----------
    images : (B, D, D), of one optics group.
    aberrations : of the group.
    pixel_size_angstrom : of the images.

    Returns
    -------
    (B, D, D) float32; the same object if there is nothing to correct.
    """
    if not aberrations.change_images:
        return images
    if aberrations.stretches:
        images = _resampled(images, aberrations.matrix)
    if any(aberrations.odd):
        box = images.shape[-1]
        phase = odd_phase(*frequency_grid(box, pixel_size_angstrom), aberrations.odd)
        factor = np.exp(-1j * phase).astype(np.complex64)
        images = fft.irfft2(fft.rfft2(images) * factor, s=(box, box))
    return images.astype(np.float32, copy=False)


def true_shifts(shifts_px: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Displacements (N, 2) in images as recorded -> in corrected images, M^-T t for M (N, 2, 2)."""
    inverse = np.linalg.inv(matrices)
    return np.einsum("nji,nj->ni", inverse, shifts_px)


def recorded_shifts(shifts_px: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """The inverse of `true_shifts`: M^T t."""
    return np.einsum("nji,nj->ni", matrices, shifts_px)


def _resampled(images: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """det M I(M^T r), whose transform at M k is that of I at k, by trigonometric interpolation.

    With M^T = [[a, b], [c, d]]: first along x, J(x, v) = I(det / d x + b / d v, v), and then along
    y, J(x, c x + d y).
    """
    (a, c), (b, d) = matrix
    determinant = a * d - b * c
    images = _along_x(np.asarray(images, np.float32), determinant / d, b / d)
    images = _along_x(np.swapaxes(images, 1, 2), d, c)
    return np.float32(determinant) * np.swapaxes(images, 1, 2)


def _along_x(images: np.ndarray, scale: float, slope: float) -> np.ndarray:
    """(B, D, D) images at (scale x + slope y, y), about pixel D // 2."""
    box = images.shape[-1]
    places = np.arange(box) - box // 2
    k = np.arange(box // 2 + 1)
    weight = np.where((k == 0) | (2 * k == box), 1.0, 2.0) / box
    # What would lie beyond the new Nyquist frequency is left out, and not folded back.
    weight = np.where(k * abs(scale) <= box / 2, weight, 0.0)

    angle = 2 * np.pi / box * np.outer(k, scale * places + box // 2)
    ramp = np.exp(2j * np.pi / box * slope * np.outer(places, k)).astype(np.complex64)
    rows = fft.rfft(images, axis=-1) * ramp
    cosine, sine = ((weight[:, None] * f(angle)).astype(np.float32) for f in (np.cos, np.sin))
    return rows.real @ cosine - rows.imag @ sine


def even_columns(groups: List[Aberrations], group_index: np.ndarray) -> np.ndarray:
    """(N, E) even coefficients of each particle for a CtfTable; E = 0 if there are none."""
    width = max((len(group.even) for group in groups if any(group.even)), default=0)
    columns = np.zeros((len(groups), width))
    for row, group in zip(columns, groups):
        row[: len(group.even)] = group.even[:width]
    return columns[group_index]
