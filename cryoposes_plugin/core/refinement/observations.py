"""Images in the refinement: Fourier coefficients with white noise, and the factor by which the
model is multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple, Union

import numpy as np

from ..fourier.ctf import ctf_values
from ..fourier.points import FourierPoints
from ..types import CtfTable
from .spectra import Spectra

#: A coefficient of premultiplied images is used where |C| is at least this: elsewhere nothing was
#: left of it.
_SMALLEST_CTF = 0.02


@dataclass(frozen=True)
class Observations:
    """B images of one optics group.

    Attributes
    ----------
    coefficients : (B, P) complex64; the noise depends on the shell alone.
    modulation : (B, P) float32, the part of the CTF that the signal carries.
    """

    coefficients: np.ndarray
    modulation: np.ndarray

    def take(self, rows: Union[np.ndarray, slice]) -> Observations:
        return Observations(self.coefficients[rows], self.modulation[rows])

    @property
    def power(self) -> float:
        """Mean over images and coefficients."""
        return float(np.mean([np.vdot(y, y).real / len(y) for y in self.coefficients]))

    def only(self, used: np.ndarray) -> Observations:
        """The same with all coefficients set to zero but the used ones, (P,) bool: they then carry
        no information.
        """
        return Observations(self.coefficients * used, self.modulation * used.astype(np.float32))

    def whitened(self, points: FourierPoints, spectra: Spectra) -> Tuple[np.ndarray, np.ndarray]:
        """(y, c): (B, P) complex64 and (B, P) float32 with y = c x exp(-2 pi i k.t / D) + n, n of
        unit variance in its real and in its imaginary part.
        """
        weight = np.sqrt(2.0 / np.maximum(spectra.noise_variance, 1e-300))
        weight = np.where((spectra.amplitude > 0) & (spectra.noise_variance > 0), weight, 0.0)
        shells = points.shell
        y = self.coefficients * weight[shells].astype(np.float32)
        return y, self.modulation * (spectra.amplitude * weight)[shells].astype(np.float32)


def observe(
    points: FourierPoints,
    images: np.ndarray,
    ctf: Optional[CtfTable],
    image_state: str,
    pixel_size_angstrom: float,
) -> Observations:
    """Transform images of one optics group.

    Parameters
    ----------
    points : at which the transforms are sampled.
    images : (B, D, D).
    ctf : of each image, or None for images without a CTF.
    image_state : "raw", "phase-flipped" or "ctf-premultiplied".
    pixel_size_angstrom : of the images.
    """
    coefficients = points.transform(images)
    values = ctf_at_points(points, ctf, len(images), pixel_size_angstrom)
    if ctf is None or image_state == "raw":
        return Observations(coefficients, values)

    size = np.abs(values)
    if image_state == "ctf-premultiplied":
        # C (C x + n) / |C| = |C| x + n': white noise again
        usable = size > _SMALLEST_CTF
        coefficients = np.where(usable, coefficients / np.maximum(size, _SMALLEST_CTF), 0).astype(
            np.complex64
        )
        size = np.where(usable, size, np.float32(0))
    return Observations(coefficients, size)


def ctf_at_points(
    points: FourierPoints, ctf: Optional[CtfTable], number: int, pixel_size_angstrom: float
) -> np.ndarray:
    """(B, P) float32 values of the CTFs, 1 without a CTF.

    Parameters
    ----------
    points : at which the CTFs are sampled.
    ctf : of B images, or None.
    number : B.
    pixel_size_angstrom : of the images.
    """
    if ctf is None:
        return np.ones((number, len(points)), np.float32)
    cycles = points.frequencies / (points.box_size_px * pixel_size_angstrom)
    columns = {name: np.asarray(values, dtype=np.float32) for name, values in vars(ctf).items()}
    return ctf_values(cycles[:, 0], cycles[:, 1], columns).astype(np.float32)
