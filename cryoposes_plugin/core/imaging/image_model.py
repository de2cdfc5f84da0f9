"""Noise-free images, y = C S P x, on the CPU: the simulation's counterpart of
`forward_model.ForwardModel`, compiled instead of differentiable (Numba).
"""

from __future__ import annotations

import copy
import math
from typing import Optional, Sequence

import numpy as np
import scipy.fft

from ..fourier.aberrations import Aberrations, odd_phase
from ..fourier.ctf import ctf_values, frequency_grid, state_filter, unpack_ctf
from ..fourier.points import half_plane, origin_signs
from ..fourier.resampling import projected_density
from ..types import Volume
from .kaiser_bessel import KaiserBesselVolume
from .padding import working_box_size_px


class ImageModel:
    """Images of one or several volumes. An image depends on its own row of the arguments alone, to
    the last bit.

    Parameters
    ----------
    volumes : cubic, any box and pixel size, origin at voxel D // 2.
    box_size_px, pixel_size_angstrom : of the images; the box is even.
    """

    def __init__(self, volumes: Sequence[Volume], box_size_px: int, pixel_size_angstrom: float):
        self.box_size_px = int(box_size_px)
        self.pixel_size_angstrom = float(pixel_size_angstrom)
        box = working_box_size_px(volumes, box_size_px, pixel_size_angstrom)
        kx, ky = half_plane(box)
        inside = kx**2 + ky**2 < (box / 2) ** 2

        self._pixels, self._shape = np.flatnonzero(inside), kx.shape
        points = np.stack([kx[inside], ky[inside]])
        self._frequencies = points.astype(np.float32)
        self._factor = origin_signs(points.T)
        self._volumes = [
            KaiserBesselVolume(projected_density(v, box, self.pixel_size_angstrom)) for v in volumes
        ]

    @property
    def working_box_size_px(self) -> int:
        """Box that holds the images and the volumes."""
        return self._shape[0]

    def with_aberrations(self, aberrations: Aberrations) -> ImageModel:
        """A model of the same volumes whose images have the odd aberrations and the magnification
        of an optics group; even ones are in the CTF.
        """
        if not aberrations.change_images:
            return self
        model, box = copy.copy(self), self.working_box_size_px
        cycles = aberrations.matrix @ (self._frequencies / box)
        x, y = cycles / self.pixel_size_angstrom
        phase = odd_phase(x, y, aberrations.odd)
        # The transform of the volume is known below its Nyquist frequency.
        inside = (cycles**2).sum(axis=0) < 0.25
        model._frequencies = (box * cycles * inside).astype(np.float32)
        model._factor = (self._factor * inside * np.exp(1j * phase)).astype(np.complex64)
        return model

    def images(
        self,
        volume_index: np.ndarray,
        rotations: np.ndarray,
        shifts_px: np.ndarray,
        ctf: Optional[np.ndarray] = None,
    ) -> np.ndarray:
        """Noise-free images.

        Parameters
        ----------
        volume_index : (B,).
        rotations : (B, 3, 3), A of `conventions`.
        shifts_px : (B, 2), displacement (x, y) of the particle, pixels of the image.
        ctf : (B, 8 + E) float32 from `pack_ctf`, or None for no CTF.

        Returns
        -------
        (B, D, D) float32, in units of the volume summed along z. Frequencies beyond Nyquist's
        circle are zero.
        """
        slices = np.empty((len(rotations), len(self._pixels)), np.complex64)
        for index in np.unique(volume_index):
            own = np.flatnonzero(volume_index == index)
            slices[own] = self._volumes[index].slices(self._frequencies, rotations[own])
        slices *= self._shift_and_ctf(np.asarray(shifts_px, np.float32), ctf)

        box = self.working_box_size_px
        spectrum = np.zeros((len(slices), self._shape[0] * self._shape[1]), np.complex64)
        spectrum[:, self._pixels] = slices
        images = scipy.fft.irfft2(spectrum.reshape(-1, *self._shape), s=(box, box))
        edge = box // 2 - self.box_size_px // 2
        own_part = slice(edge, edge + self.box_size_px)
        return images[:, own_part, own_part]

    def _shift_and_ctf(self, shifts_px: np.ndarray, ctf: Optional[np.ndarray]) -> np.ndarray:
        """(B, P) complex64 factor C exp(-2 pi i k.t), with phases about pixel D // 2."""
        x, y = self._frequencies / np.float32(self.working_box_size_px)
        step = np.float32(-2 * math.pi)
        phase = step * (shifts_px[:, :1] * x + shifts_px[:, 1:] * y)
        factor = np.empty(phase.shape, np.complex64)
        np.cos(phase, out=factor.real)
        np.sin(phase, out=factor.imag)
        factor *= self._factor
        if ctf is not None:
            pixel = np.float32(self.pixel_size_angstrom)
            factor *= ctf_values(x / pixel, y / pixel, unpack_ctf(ctf))
        return factor


def brought_to_state(
    images: np.ndarray, ctf: np.ndarray, image_state: str, pixel_size_angstrom: float
) -> np.ndarray:
    """Raw images (B, D, D), signal and noise, processed to an image state that is not "raw".

    Parameters
    ----------
    images : (B, D, D).
    ctf : (B, 8 + E) packed parameters, see `pack_ctf`.
    image_state : "phase-flipped" or "ctf-premultiplied".
    pixel_size_angstrom : of the images.
    """
    x, y = (a.astype(np.float32) for a in frequency_grid(images.shape[-1], pixel_size_angstrom))
    factor = state_filter(ctf_values(x, y, unpack_ctf(ctf)), image_state)
    return scipy.fft.irfft2(scipy.fft.rfft2(images) * factor, s=images.shape[1:])
