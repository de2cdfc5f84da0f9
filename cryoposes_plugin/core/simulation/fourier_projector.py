"""Projections as central slices of the Fourier transform (TensorFlow, differentiable in the rotation)."""

from __future__ import annotations

import itertools
from typing import Sequence, Tuple

import numpy as np
import scipy.fft
import tensorflow as tf

from . import grids


class FourierProjector:
    """Fourier slices of V volumes of one box, by trilinear interpolation on a padded grid.

    I^(kx, ky) = V^(A^T (kx, ky, 0)) for |k| < D / 2, zero beyond; the volume is divided by the interpolation kernel's
    transform, a sinc^2 along each axis. Relative error: `grids.interpolation_error`.

    Parameters
    ----------
    volumes : V arrays (D, D, D) float32 [z, y, x], origin at D // 2, D even.
    padding : of the Fourier grid, see `grids.choose_padding`.

    Attributes
    ----------
    box_size_px : D.
    frequencies : (P, 2) float32, the integer (kx, ky) of the points of the half plane with |k| < D / 2.
    """

    def __init__(self, volumes: Sequence[np.ndarray], padding: float):
        self.box_size_px = int(volumes[0].shape[0])
        points, self._layout = _half_disc(self.box_size_px)
        self.frequencies = tf.constant(points)
        self._size = size = grids.padded_size(self.box_size_px, padding)
        axes = grids.packed_axes(len(volumes) * 4 * size**3)
        self._packed = tuple(itertools.product(*[(0, 1) if a in axes else (0,) for a in (0, 1, 2)]))
        self._outer = tuple(itertools.product(*[(0,) if a in axes else (0, 1) for a in (0, 1, 2)]))
        width = size // 2 + (2 not in axes)
        self._strides = (size * size * width, size * width, width)
        self._table = tf.constant(_table(volumes, size, self._packed, width))
        # The image's origin at D // 2 is a factor (-1)^(kx + ky) on the slice.
        self._centre = tf.constant((1.0 - 2.0 * (points.sum(axis=1) % 2)).astype(np.float32))

    def slices(self, volume_index: tf.Tensor, rotations: tf.Tensor) -> tf.Tensor:
        """(B, P) complex64: the slice at `frequencies`, (B,) int32 volumes at (B, 3, 3) float32 rotations A.

        Phases are those of an image with its origin at D // 2 and array index 0 at the corner.
        """
        # A^T (kx, ky, 0): the first two rows of A, on the padded grid.
        rows = (self._size / self.box_size_px) * rotations[:, :2, :]
        kx, ky = self.frequencies[:, 0], self.frequencies[:, 1]
        q = [rows[:, 0, a, None] * kx + rows[:, 1, a, None] * ky for a in (0, 1, 2)]
        # Only x >= 0 is stored: V^(-q) is the conjugate of V^(q).
        side = tf.where(q[0] < 0, -1.0, 1.0)
        q = [a * side for a in q]
        base = [tf.floor(a) for a in q]
        fx, fy, fz = (a - b for a, b in zip(q, base))
        half = float(self._size // 2)
        index = [tf.cast(base[0], tf.int32)] + [tf.cast(b + half, tf.int32) for b in base[1:]]
        real, imaginary = self._interpolate(volume_index, index, (fx, fy, fz))
        return tf.complex(real * self._centre, imaginary * (side * self._centre))

    def _interpolate(self, volume_index, index, fraction):
        """Trilinear interpolation: real and imaginary part, each (B, P)."""
        per_volume, per_z, per_y = self._strides
        size = self._size
        x, y, z = index
        fx, fy, fz = fraction
        weights = (((1.0 - fz), fz), ((1.0 - fy), fy), ((1.0 - fx), fx))
        start = volume_index[:, None] * per_volume + x
        real = imaginary = 0.0
        for dz, dy, dx in self._outer:
            zz, yy = (z + dz) % size if dz else z, (y + dy) % size if dy else y
            values = tf.gather(self._table, start + zz * per_z + yy * per_y + dx)
            for column, (pz, py, px) in enumerate(self._packed):
                weight = weights[0][dz + pz] * weights[1][dy + py] * weights[2][dx + px]
                real += weight * values[..., 2 * column]
                imaginary += weight * values[..., 2 * column + 1]
        return real, imaginary

    def images(self, slices: tf.Tensor) -> tf.Tensor:
        """(B, D, D) float32 images from slices (B, P)."""
        padded = tf.pad(slices, [[0, 0], [0, 1]])
        spectrum = tf.gather(padded, self._layout, axis=1)
        d = self.box_size_px
        return tf.signal.irfft2d(tf.reshape(spectrum, (-1, d, d // 2 + 1)), [d, d])


def _half_disc(box_size_px: int) -> Tuple[np.ndarray, np.ndarray]:
    """Integer frequencies (P, 2) inside the disc |k| < D / 2, and for each pixel of `rfft2` its point, or P."""
    kx, ky = np.meshgrid(np.arange(box_size_px // 2 + 1), np.fft.fftfreq(box_size_px, 1 / box_size_px))
    inside = kx**2 + ky**2 < (box_size_px / 2) ** 2
    points = np.stack([kx[inside], ky[inside]], axis=1).astype(np.float32)
    layout = np.full(inside.shape, len(points), np.int32)
    layout[inside] = np.arange(len(points))
    return points, layout.ravel()


def fourier_volume(volume: np.ndarray, size: int) -> np.ndarray:
    """Transform of a volume on the padded grid, corrected for trilinear interpolation.

    (D, D, D) float32 -> (S, S, S // 2 + 1) complex64 [kz, ky, kx] for a grid of `size` S; kz and ky ascend from -S / 2,
    kx from 0.
    """
    d = volume.shape[0]
    kernel = np.sinc((np.arange(d) - d // 2) / size) ** 2
    corrected = volume / (kernel[:, None, None] * kernel[:, None] * kernel)
    padded = np.zeros((size,) * 3, np.float32)
    where = slice(size // 2 - d // 2, size // 2 - d // 2 + d)
    padded[where, where, where] = corrected
    transform = scipy.fft.rfftn(scipy.fft.ifftshift(padded))
    return scipy.fft.fftshift(transform, axes=(0, 1)).astype(np.complex64)


def _table(volumes: Sequence[np.ndarray], size: int, packed, width: int) -> np.ndarray:
    """(V * S * S * width, 2 * neighbours) float32: each voxel's neighbours side by side, for one read."""
    table = np.empty((len(volumes), size, size, width, len(packed)), np.complex64)
    for target, volume in zip(table, volumes):
        transform = fourier_volume(volume, size)
        for column, (dz, dy, dx) in enumerate(packed):
            target[..., column] = np.roll(transform, (-dz, -dy), axis=(0, 1))[..., dx : dx + width]
    return table.view(np.float32).reshape(-1, 2 * len(packed))
