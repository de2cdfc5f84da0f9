"""Slices of a map and inner products with images on a GPU (TensorFlow).

The map is a table in which each node has its neighbours at its side: one read for each point.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from ..imaging.fourier_projector import slice_points
from ..imaging.fourier_volumes import FourierVolumes, TableLayout
from .arrays import ImageArrays, PoseArrays

#: Number of coefficients that are worked on at once.
_POINTS_AT_ONCE = 2**22


class _Map(NamedTuple):
    """Table of Fourier coefficients, and all points (P, 2): in cycles per box and in radians per
    pixel.
    """

    table: tf.Tensor
    frequencies: tf.Tensor
    radians: tf.Tensor


class PackedVolume:
    """As `half_volume.HalfVolume`, in the memory of the GPU."""

    def __init__(self, volume: np.ndarray, padding: float, frequencies: np.ndarray):
        volumes = FourierVolumes([volume], padding)
        points = tf.constant(frequencies, tf.float32)
        self._map = _Map(volumes.table, points, (2.0 * math.pi / len(volume)) * points)
        self._graphs = _graphs_of(volumes.layout)

    @property
    def bytes(self) -> int:
        """Of the table."""
        return 4 * int(tf.size(self._map.table))

    def slices(self, rotations: np.ndarray, number: int) -> np.ndarray:
        """(B, P) complex64, see `HalfVolume.slices`."""
        out = np.empty((len(rotations), number), np.complex64)
        frequencies = self._map.frequencies[:number]
        for part in _chunks(len(rotations), number):
            chunk = tf.constant(rotations[part], tf.float32)
            out.real[part], out.imag[part] = self._graphs.slices(
                self._map.table, frequencies, chunk
            )
        return out

    def gram(self, poses: PoseArrays, images: ImageArrays, number: int) -> np.ndarray:
        """(B, 7, 7) float64, see `HalfVolume.gram`."""
        out = np.empty((len(poses.particle), 7, 7))
        for part in _chunks(len(out), number):
            rows, own = np.unique(poses.particle[part], return_inverse=True)
            chunk = PoseArrays(
                tf.constant(poses.rotations[part], tf.float32),
                tf.constant(poses.shifts_px[part], tf.float32),
                tf.constant(own, tf.int32),
            )
            shown = ImageArrays(*(tf.constant(values[rows, :number]) for values in images))
            out[part] = self._graphs.gram(self._map, chunk, shown)
        return out


def _chunks(number: int, points: int) -> List[slice]:
    size = max(1, _POINTS_AT_ONCE // max(1, points))
    return [slice(at, at + size) for at in range(0, number, size)]


def _floats(*shape: Optional[int]) -> tf.TensorSpec:
    return tf.TensorSpec(shape, tf.float32)


_INDICES, _POINTS = tf.TensorSpec((None,), tf.int32), _floats(None, 2)
_ROTATIONS, _SHIFTS = _floats(None, 3, 3), _floats(None, 2)
_POSES = PoseArrays(_ROTATIONS, _SHIFTS, _INDICES)
_IMAGES = ImageArrays(*[_floats(None, None)] * 3)


class _Graphs:
    """The functions of maps of one layout, each traced once for batches of any size."""

    def __init__(self, layout: TableLayout):
        self._layout = layout
        table = _floats(None, 2 * len(layout.packed))
        of_map = _Map(table, _POINTS, _POINTS)
        self.slices = tf.function(self._slices, input_signature=(table, _POINTS, _ROTATIONS))
        self.gram = tf.function(self._gram, input_signature=(of_map, _POSES, _IMAGES))

    def _slices(self, table: tf.Tensor, frequencies: tf.Tensor, rotations: tf.Tensor):
        points = slice_points(rotations, frequencies, self._layout.scale)
        return _values(FourierVolumes.of_table(self._layout, table), points)

    def _gram(self, of_map: _Map, poses: PoseArrays, images: ImageArrays) -> tf.Tensor:
        number = tf.shape(images.real)[1]
        k, radians = of_map.frequencies[:number], of_map.radians[:number]
        points = slice_points(poses.rotations, k, self._layout.scale)
        volumes = FourierVolumes.of_table(self._layout, of_map.table)

        # The slice, and its derivatives by the rotation.
        parts = volumes.values_and_gradients(_first(points), points)
        (real, by_pose_real), (imaginary, by_pose_imaginary) = (
            (value, _by_rotation(gradient, poses.rotations, k, self._layout.scale))
            for value, gradient in parts
        )

        # The model: the slice, modulated and shifted.
        phase = -tf.matmul(poses.shifts_px, radians, transpose_b=True)
        own = ImageArrays(*(tf.gather(values, poses.particle) for values in images))
        cosine, sine = own.modulation * tf.cos(phase), own.modulation * tf.sin(phase)
        m = _product(real, imaginary, cosine, sine)

        rows = [_product(r, i, cosine, sine) for r, i in zip(by_pose_real, by_pose_imaginary)]
        rows += [(m[1] * radians[:, a], -m[0] * radians[:, a]) for a in (0, 1)]
        rows += [m, (own.real, own.imaginary)]
        stacked = tf.stack([tf.concat(row, axis=1) for row in rows], axis=1)
        return tf.matmul(stacked, stacked, transpose_b=True)


@lru_cache(maxsize=None)
def _graphs_of(layout: TableLayout) -> _Graphs:
    return _Graphs(layout)


def _by_rotation(
    gradient: List[tf.Tensor], rotations: tf.Tensor, k: tf.Tensor, scale: float
) -> List[tf.Tensor]:
    """Derivatives by w of x(A^T exp(-[w]x) k): -(A grad x) . (w x k), three of (B, P)."""
    kx, ky = k[:, 0], k[:, 1]
    in_plane = [rotations[:, 0, a, None] * ky - rotations[:, 1, a, None] * kx for a in (0, 1, 2)]
    along_beam = sum(rotations[:, 2, a, None] * gradient[a] for a in (0, 1, 2))
    turned = sum(in_plane[a] * gradient[a] for a in (0, 1, 2))
    return [-scale * ky * along_beam, scale * kx * along_beam, scale * turned]


def _values(volumes: FourierVolumes, points: Sequence[tf.Tensor]) -> Tuple[tf.Tensor, tf.Tensor]:
    """Real and imaginary parts, (B, P) each."""
    return volumes.values(_first(points), points)


def _first(points: Sequence[tf.Tensor]) -> tf.Tensor:
    """(B,) zeros: there is one volume."""
    return tf.zeros(tf.shape(points[0])[:1], tf.int32)


def _product(
    real: tf.Tensor, imaginary: tf.Tensor, cosine: tf.Tensor, sine: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """(real + i imaginary) (cosine + i sine), as two tensors."""
    return real * cosine - imaginary * sine, real * sine + imaginary * cosine
