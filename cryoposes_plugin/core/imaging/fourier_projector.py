"""Projections as central slices of the Fourier transform (TensorFlow, differentiable in the
rotation).
"""

from __future__ import annotations

import copy
from typing import List, Sequence, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.points import half_plane, origin_signs
from .fourier_volumes import FourierVolumes


class FourierProjector:
    """Fourier slices of V volumes of one box.

    I^(kx, ky) = V^(A^T (kx, ky, 0)) for |k| < D / 2, zero beyond.

    Parameters
    ----------
    volumes, padding : see `FourierVolumes`.

    Attributes
    ----------
    box_size_px : D.
    frequencies : (P, 2) float32, the integer (kx, ky) of the points of the half plane with |k| < D
        / 2.
    """

    def __init__(self, volumes: Sequence[np.ndarray], padding: float):
        self.box_size_px = int(volumes[0].shape[0])
        points, self._layout = _half_disc(self.box_size_px)
        self.frequencies = tf.constant(points)
        self._volumes = FourierVolumes(volumes, padding)
        self._signs = tf.constant(origin_signs(points))

    def at(self, frequencies: tf.Tensor) -> FourierProjector:
        """The same images, whose coefficients are those of the volume at other `frequencies` (P,
        2), not beyond D / 2.
        """
        other = copy.copy(self)
        other.frequencies = frequencies
        return other

    def slices(self, volume_index: tf.Tensor, rotations: tf.Tensor) -> tf.Tensor:
        """(B, P) complex64: the slice at `frequencies`, (B,) int32 volumes at (B, 3, 3) float32
        rotations A.

        Phases are those of an image with its origin at D // 2 and array index 0 at the corner.
        """
        points = slice_points(rotations, self.frequencies, self._volumes.scale)
        real, imaginary = self._volumes.values(volume_index, points)
        return tf.complex(real * self._signs, imaginary * self._signs)

    def images(self, slices: tf.Tensor) -> tf.Tensor:
        """(B, D, D) float32 images from slices (B, P)."""
        padded = tf.pad(slices, [[0, 0], [0, 1]])
        spectrum = tf.gather(padded, self._layout, axis=1)
        d = self.box_size_px
        return tf.signal.irfft2d(tf.reshape(spectrum, (-1, d, d // 2 + 1)), [d, d])


def slice_points(rotations: tf.Tensor, frequencies: tf.Tensor, scale: float) -> List[tf.Tensor]:
    """A^T (kx, ky, 0) times `scale`, three of (B, P): x, y and z of P frequencies (P, 2) at
    rotations A (B, 3, 3).
    """
    rows = scale * rotations[:, :2, :]
    kx, ky = frequencies[:, 0], frequencies[:, 1]
    return [rows[:, 0, a, None] * kx + rows[:, 1, a, None] * ky for a in (0, 1, 2)]


def _half_disc(box_size_px: int) -> Tuple[np.ndarray, np.ndarray]:
    """Integer frequencies (P, 2) inside the disc |k| < D / 2, and for each pixel of `rfft2` its
    point, or P.
    """
    kx, ky = half_plane(box_size_px)
    inside = kx**2 + ky**2 < (box_size_px / 2) ** 2
    points = np.stack([kx[inside], ky[inside]], axis=1).astype(np.float32)
    layout = np.full(inside.shape, len(points), np.int32)
    layout[inside] = np.arange(len(points))
    return points, layout.ravel()
