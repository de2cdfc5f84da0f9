"""Volumes as tables of Fourier coefficients, read between the nodes by trilinear interpolation
(TensorFlow).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
import scipy.fft
import tensorflow as tf

from ..fourier.gridding import interpolation_kernel, padded_about_first
from . import padding as grids

#: Lines of the grid along which the last axis is transformed at once.
_LINES_AT_ONCE = 8


@dataclass(frozen=True)
class TableLayout:
    """Layout of the coefficients: edge of the grid, nodes per cycle per box, neighbours that are
    read at once and one after the other, and steps of an index between volumes and along z and y.
    """

    size: int
    scale: float
    packed: Tuple[Tuple[int, ...], ...]
    outer: Tuple[Tuple[int, ...], ...]
    strides: Tuple[int, int, int]


class FourierVolumes:
    """The transforms of V volumes of one box on a padded grid.

    The volume is divided by the interpolation kernel's transform, a sinc^2 along each axis.
    Relative error: `padding.interpolation_error`.

    Parameters
    ----------
    volumes : V arrays (D, D, D) float32 [z, y, x], origin at D // 2, D even.
    padding : of the Fourier grid, see `grids.choose_padding`.

    Attributes
    ----------
    scale : nodes of the grid per cycle per box. layout, table : everything from which `of_table`
        makes the same volumes: a compiled function can take them as arguments and serve every
        volume.
    """

    def __init__(self, volumes: Sequence[np.ndarray], padding: float):
        box = int(volumes[0].shape[0])
        size = grids.padded_size(box, padding)
        axes = grids.packed_axes(len(volumes) * 4 * size**3)
        packed = tuple(itertools.product(*[(0, 1) if a in axes else (0,) for a in (0, 1, 2)]))
        outer = tuple(itertools.product(*[(0,) if a in axes else (0, 1) for a in (0, 1, 2)]))
        width = size // 2 + (2 not in axes)
        self.layout = TableLayout(
            size, size / box, packed, outer, (size * size * width, size * width, width)
        )
        self.table = tf.constant(_table(volumes, size, packed, width))

    @classmethod
    def of_table(cls, layout: TableLayout, table: tf.Tensor) -> FourierVolumes:
        volumes = cls.__new__(cls)
        volumes.layout, volumes.table = layout, table
        return volumes

    @property
    def scale(self) -> float:
        return self.layout.scale

    def values(
        self, volume_index: tf.Tensor, points: Sequence[tf.Tensor]
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """Real and imaginary part, each (B, P), at `points` (x, y, z), each (B, P), in nodes of the
        grid.
        """
        side, index, (fx, fy, fz) = self._locate(points)
        weights = (((1.0 - fz), fz), ((1.0 - fy), fy), ((1.0 - fx), fx))
        real = imaginary = 0.0
        for (z, y, x), (re, im) in self._corners(volume_index, index):
            weight = weights[0][z] * weights[1][y] * weights[2][x]
            real += weight * re
            imaginary += weight * im
        return real, imaginary * side

    def values_and_gradients(
        self, volume_index: tf.Tensor, points: Sequence[tf.Tensor]
    ) -> Tuple[Tuple[tf.Tensor, List[tf.Tensor]], Tuple[tf.Tensor, List[tf.Tensor]]]:
        """((value, gradient) of the real part, (value, gradient) of the imaginary part).

        Values are (B, P), gradients three of these, along x, y and z, per node: the derivative of
        the interpolation.
        """
        side, index, fraction = self._locate(points)
        real, imaginary = {}, {}
        for corner, (re, im) in self._corners(volume_index, index):
            real[corner], imaginary[corner] = re, im
        value, gradient = _trilinear(real, fraction)
        value_im, gradient_im = _trilinear(imaginary, fraction)
        # V^(q) = conj(V^(-q)): the real part's gradient and the imaginary part's value change sign
        # with q.
        return (value, [side * g for g in gradient]), (side * value_im, gradient_im)

    def _locate(self, points: tf.Tensor):
        """Side of the half space, node below and fractions beyond it; only x >= 0 is stored."""
        side = tf.where(points[0] < 0, -1.0, 1.0)
        points = [a * side for a in points]
        base = [tf.floor(a) for a in points]
        half = float(self.layout.size // 2)
        index = [tf.cast(base[0], tf.int32)] + [tf.cast(b + half, tf.int32) for b in base[1:]]
        return side, index, [a - b for a, b in zip(points, base)]

    def _corners(self, volume_index: tf.Tensor, index: tf.Tensor):
        """((z, y, x), (real, imaginary)) of the eight nodes around each point."""
        per_volume, per_z, per_y = self.layout.strides
        size = self.layout.size
        x, y, z = index
        start = volume_index[:, None] * per_volume + x
        for dz, dy, dx in self.layout.outer:
            zz, yy = (z + dz) % size if dz else z, (y + dy) % size if dy else y
            values = tf.gather(self.table, start + zz * per_z + yy * per_y + dx)
            for column, (pz, py, px) in enumerate(self.layout.packed):
                yield (
                    (dz + pz, dy + py, dx + px),
                    (values[..., 2 * column], values[..., 2 * column + 1]),
                )


def _trilinear(corners: Any, fraction: tf.Tensor):
    """Value and gradient [x, y, z] of the interpolation between eight corners {(z, y, x): (B, P)}."""
    fx, fy, fz = fraction
    along_x = {(z, y): corners[z, y, 1] - corners[z, y, 0] for z in (0, 1) for y in (0, 1)}
    lines = {(z, y): corners[z, y, 0] + fx * slope for (z, y), slope in along_x.items()}
    along_y = [lines[z, 1] - lines[z, 0] for z in (0, 1)]
    planes = [lines[z, 0] + fy * along_y[z] for z in (0, 1)]
    slopes = [along_x[z, 0] + fy * (along_x[z, 1] - along_x[z, 0]) for z in (0, 1)]
    along_z = planes[1] - planes[0]
    gradient = [
        slopes[0] + fz * (slopes[1] - slopes[0]),
        along_y[0] + fz * (along_y[1] - along_y[0]),
        along_z,
    ]
    return planes[0] + fz * along_z, gradient


def fourier_volume(volume: np.ndarray, size: int, out: Optional[np.ndarray] = None) -> np.ndarray:
    """Transform of a volume on the padded grid, corrected for trilinear interpolation.

    (D, D, D) float32 -> (S, S, S // 2 + 1) complex64 [kz, ky, kx] for a grid of `size` S, even; kz
    and ky ascend from -S / 2, kx from 0. Axis by axis, so that the padded volume is never made; the
    result may be written to `out`.
    """
    box, origin = len(volume), len(volume) // 2
    sign = np.where((np.arange(box) - origin) % 2, -1.0, 1.0)  # begins kz and ky at -S / 2
    data = (volume / interpolation_kernel(box, size)) * sign[:, None, None] * sign[:, None]
    if out is None:
        out = np.empty((size, size, size // 2 + 1), np.complex64)

    along_x = scipy.fft.rfft(padded_about_first(data, size, 2, np.float32), axis=2)
    planes = np.empty((box, size, size // 2 + 1), np.complex64)
    for plane, rows in zip(planes, along_x):
        plane[:] = scipy.fft.fft(padded_about_first(rows, size, 0), axis=0, overwrite_x=True)
    for y in range(0, size, _LINES_AT_ONCE):
        padded = padded_about_first(planes[:, y : y + _LINES_AT_ONCE], size, 0)
        out[:, y : y + _LINES_AT_ONCE] = scipy.fft.fft(padded, axis=0, overwrite_x=True)
    return out


def _table(volumes: Sequence[np.ndarray], size: int, packed: Any, width: int) -> np.ndarray:
    """(V * S * S * width, 2 * neighbours) float32: each voxel's neighbours side by side, for one
    read.
    """
    table = np.empty((len(volumes), size, size, width, len(packed)), np.complex64)
    for target, volume in zip(table, volumes):
        transform = fourier_volume(volume, size)
        for column, (dz, dy, dx) in enumerate(packed):
            target[..., column] = np.roll(transform, (-dz, -dy), axis=(0, 1))[..., dx : dx + width]
    return table.view(np.float32).reshape(-1, 2 * len(packed))
