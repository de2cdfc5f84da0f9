"""Noise-free images, y = C S P x: projection, shift and CTF in one pass through Fourier space
(TensorFlow).
"""

from __future__ import annotations

import copy
import math
from typing import Optional, Sequence

import tensorflow as tf

from ..errors import ConfigError, InputError
from ..fourier.aberrations import Aberrations, odd_phase
from ..fourier.ctf import (
    ctf_values,
    frequency_grid,
    pack_ctf,
    signal_filter,
    state_filter,
    unpack_ctf,
)
from ..fourier.resampling import resample_volume, without_solvent
from ..types import Volume
from .fourier_projector import FourierProjector
from .padding import choose_padding, working_box_size_px

__all__ = ["ForwardModel", "apply_image_state", "crop", "modulate", "pack_ctf"]


class ForwardModel:
    """Images of one or several volumes.

    The volumes are resampled once to the pixel size of the images. If a volume is wider than the
    images, projections are computed in a box that contains it and are then cut to the box of the
    images.

    Parameters
    ----------
    volumes : cubic, any box and pixel size, origin at voxel D // 2.
    box_size_px, pixel_size_angstrom : of the images; the box is even.

    Raises
    ------
    ConfigError for an odd box, InputError for no volume.
    """

    def __init__(self, volumes: Sequence[Volume], box_size_px: int, pixel_size_angstrom: float):
        if not volumes:
            raise InputError("The forward model was given no volume; give at least one.")
        if box_size_px % 2:
            raise ConfigError(f"The box of the images is {box_size_px} px; give an even number.")
        volumes = [without_solvent(volume) for volume in volumes]
        self.box_size_px = int(box_size_px)
        self.pixel_size_angstrom = float(pixel_size_angstrom)
        self.working_box_size_px = working_box_size_px(volumes, box_size_px, pixel_size_angstrom)
        grid = (self.working_box_size_px, self.pixel_size_angstrom)
        self._projector = FourierProjector(
            [resample_volume(v.data, v.pixel_size_angstrom, *grid) for v in volumes],
            choose_padding(volumes, *grid),
        )
        self._cycles = self._projector.frequencies / self.working_box_size_px
        self._aberration: Optional[tf.Tensor] = None

    def with_aberrations(self, aberrations: Aberrations) -> ForwardModel:
        """A model of the same volumes whose images have the odd aberrations and the magnification
        of an optics group; even ones are in the CTF.
        """
        if not aberrations.change_images:
            return self
        model = copy.copy(self)
        matrix = tf.constant(aberrations.matrix, tf.float32)
        cycles = tf.matmul(self._cycles, matrix, transpose_b=True)
        x, y = (cycles[:, axis] / self.pixel_size_angstrom for axis in (0, 1))
        phase = odd_phase(x, y, aberrations.odd)
        # The transform of the volume is known below its Nyquist frequency.
        inside = tf.cast(tf.reduce_sum(cycles * cycles, axis=1) < 0.25, tf.float32)

        model._cycles = cycles * inside[:, None]
        model._aberration = tf.complex(inside * tf.cos(phase), inside * tf.sin(phase))
        model._projector = self._projector.at(model._cycles * self.working_box_size_px)
        return model

    @tf.function(reduce_retracing=True)
    def images(
        self,
        volume_index: tf.Tensor,
        rotations: tf.Tensor,
        shifts_px: tf.Tensor,
        ctf: Optional[tf.Tensor] = None,
        image_state: str = "raw",
    ) -> tf.Tensor:
        """Noise-free images.

        Parameters
        ----------
        volume_index : (B,) int32.
        rotations : (B, 3, 3) float32, A of `conventions`. Differentiable.
        shifts_px : (B, 2) float32, displacement (x, y) of the particle, pixels of the image.
            Differentiable.
        ctf : (B, 8 + E) float32 from `pack_ctf`, or None for no CTF.
        image_state : the signal carries C ("raw"), |C| ("phase-flipped") or C^2
            ("ctf-premultiplied").

        Returns
        -------
        (B, D, D) float32, in units of the volume summed along z. Frequencies beyond Nyquist's
        circle are zero.
        """
        slices = self._projector.slices(volume_index, rotations)
        slices *= _shift_and_ctf(
            self._cycles, shifts_px, ctf, self.pixel_size_angstrom, image_state
        )
        if self._aberration is not None:
            slices *= self._aberration
        return crop(self._projector.images(slices), self.box_size_px)


def _shift_and_ctf(
    cycles: tf.Tensor,
    shifts_px: tf.Tensor,
    ctf: Optional[tf.Tensor],
    pixel_size_angstrom: float,
    image_state: str = "raw",
) -> tf.Tensor:
    """(B, P) complex64 factor C exp(-2 pi i k.t) at P frequencies (P, 2) in cycles per pixel."""
    phase = (-2.0 * math.pi) * tf.matmul(shifts_px, cycles, transpose_b=True)
    amplitude = tf.ones_like(phase)
    if ctf is not None:
        x, y = (cycles[:, axis] / pixel_size_angstrom for axis in (0, 1))
        amplitude = signal_filter(ctf_values(x, y, unpack_ctf(ctf), tf), image_state, tf)
    return tf.complex(amplitude * tf.cos(phase), amplitude * tf.sin(phase))


def modulate(
    images: tf.Tensor, shifts_px: tf.Tensor, ctf: Optional[tf.Tensor], pixel_size_angstrom: float
) -> tf.Tensor:
    """Shift images and apply their CTF.

    Parameters
    ----------
    images : (B, D, D).
    shifts_px : (B, 2) in pixels.
    ctf : (B, 8) packed parameters (see `pack_ctf`), or None.
    pixel_size_angstrom : of the images.
    """
    d = int(images.shape[1])
    x, y = frequency_grid(d, 1.0)
    cycles = tf.stack([tf.constant(a.ravel(), tf.float32) for a in (x, y)], axis=1)
    factor = _shift_and_ctf(cycles, tf.cast(shifts_px, tf.float32), ctf, pixel_size_angstrom)
    return tf.signal.irfft2d(tf.signal.rfft2d(images) * tf.reshape(factor, (-1, *x.shape)), [d, d])


def crop(images: tf.Tensor, box_size_px: int) -> tf.Tensor:
    """The central box of images (B, D, D), origin kept at D // 2."""
    edge = images.shape[1] // 2 - box_size_px // 2
    return images[:, edge : edge + box_size_px, edge : edge + box_size_px]


def apply_image_state(
    images: tf.Tensor, ctf: Optional[tf.Tensor], image_state: str, pixel_size_angstrom: float
) -> tf.Tensor:
    """Raw images, signal and noise, brought to an image state.

    Parameters
    ----------
    images : (B, D, D), raw.
    ctf : (B, 8) packed parameters (see `pack_ctf`), or None.
    image_state : "raw" (nothing is done), "phase-flipped" or "ctf-premultiplied".
    pixel_size_angstrom : of the images.
    """
    images = tf.convert_to_tensor(images)
    if image_state == "raw":
        return images
    d = images.shape[1]
    x, y = (tf.constant(a, tf.float32) for a in frequency_grid(d, pixel_size_angstrom))
    factor = state_filter(ctf_values(x, y, unpack_ctf(ctf), tf), image_state, tf)
    return tf.signal.irfft2d(tf.signal.rfft2d(images) * tf.cast(factor, tf.complex64), [d, d])
