"""Noise-free images, y = C S P x, on the CPU: the simulation's counterpart of
`forward_model.ForwardModel`, compiled instead of differentiable (Numba).
"""

from __future__ import annotations

import copy
from typing import Optional, Sequence

import numpy as np
import scipy.fft

from ..compiled import compiled
from ..fourier.aberrations import Aberrations, odd_phase
from ..fourier.ctf import ctf_values, frequency_grid, state_filter, unpack_ctf
from ..fourier.phase_ramp import axis_ramps
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

        self._shape, self._of_rows = kx.shape, np.count_nonzero(inside, axis=1)
        points = np.stack([kx[inside], ky[inside]])
        self._frequencies, self._matrix = points.astype(np.float32), np.eye(2)
        self._factor = origin_signs(points.T).astype(np.complex64)
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
        model._matrix = aberrations.matrix
        cycles = model._matrix @ (self._frequencies / box)
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
        slices = np.empty((len(rotations), len(self._factor)), np.complex64)
        for index in np.unique(volume_index):
            own = np.flatnonzero(volume_index == index)
            slices[own] = self._volumes[index].slices(self._frequencies, rotations[own])

        box = self.working_box_size_px
        # k.t of the points (M k) of a magnified slice is k.(M^T t).
        ramps = axis_ramps(np.asarray(shifts_px) @ self._matrix, box)
        along_y, along_x = (ramp.reshape(len(slices), -1).astype(np.complex64) for ramp in ramps)
        spectra = np.zeros((len(slices), *self._shape), np.complex64)
        transfer = self._transfer(ctf, len(slices))
        _modulate(slices, self._factor, transfer, along_x, along_y, self._of_rows, spectra)
        images = scipy.fft.irfft2(spectra, s=(box, box))
        edge = box // 2 - self.box_size_px // 2
        own_part = slice(edge, edge + self.box_size_px)
        return images[:, own_part, own_part]

    def _transfer(self, ctf: Optional[np.ndarray], number: int) -> np.ndarray:
        """(B, P) float32 CTF."""
        if ctf is None:
            return np.ones((number, len(self._factor)), np.float32)
        x, y = self._frequencies / np.float32(self.working_box_size_px * self.pixel_size_angstrom)
        return ctf_values(x, y, unpack_ctf(ctf))


@compiled
def _modulate(
    slices: np.ndarray,
    factor: np.ndarray,
    transfer: np.ndarray,
    along_x: np.ndarray,
    along_y: np.ndarray,
    of_rows: np.ndarray,
    spectra: np.ndarray,
) -> None:
    """Slices times the factor, the CTF and the phases of the shift, put into half planes.

    Parameters
    ----------
    slices, transfer : (B, P) of the points inside Nyquist's circle, row by row.
    factor : (P,) of every image.
    along_x, along_y : (B, K) and (B, L) phases of the columns and the rows.
    of_rows : (L,) how many points of a row there are, from kx = 0 on.
    spectra : (B, L, K) is filled.
    """
    for image in range(len(slices)):
        first = 0
        for row in range(len(of_rows)):
            along = along_y[image, row]
            for x in range(of_rows[row]):
                phase = along * along_x[image, x] * factor[first + x]
                spectra[image, row, x] = (
                    slices[image, first + x] * phase * transfer[image, first + x]
                )
            first += of_rows[row]


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
