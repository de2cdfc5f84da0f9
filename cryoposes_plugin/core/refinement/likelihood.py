"""The likelihood of a pose, its derivatives, and its values on a grid of shifts (TensorFlow).

With whitened coefficients y = s c exp(-2 pi i k.t / D) x(A^T k) + n and the scale s of the particle profiled out, twice
the logarithm of the likelihood rises over that of "no signal" by

    gain(A, t) = max(0, <m, y>)^2 / <m, m>,     m = c exp(-2 pi i k.t / D) x(A^T k),   <u, v> = Re sum u* v.

The tangent of a pose is (w, dt): A becomes exp([w]x) A, w in radians in the image's frame, t becomes t + dt in pixels.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import List, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.points import FourierPoints
from ..fourier.resampling import projected_density
from ..imaging.fourier_projector import slice_points
from ..imaging.fourier_volumes import FourierVolumes, TableLayout
from ..imaging.padding import choose_padding
from ..memory import BatchLimit
from ..types import Volume

PARAMETERS = 5


class PoseLikelihood:
    """Compares images with the slices of a map; every method works on the first P points of `points`.

    Parameters
    ----------
    volume : any box and pixel size.
    points, pixel_size_angstrom : of the images.
    """

    def __init__(self, volume: Volume, points: FourierPoints, pixel_size_angstrom: float):
        box = points.box_size_px
        grid = (box, pixel_size_angstrom)
        data = projected_density(volume, *grid)
        volumes = FourierVolumes([data], choose_padding([Volume(data, pixel_size_angstrom)], *grid))
        frequencies = tf.constant(points.frequencies)
        self.memory = BatchLimit("images")
        self._map = (
            volumes.layout,
            volumes.table,
            frequencies,
            (2.0 * math.pi / box) * frequencies,
        )

    def slices(self, rotations: np.ndarray, number: int) -> np.ndarray:
        """(B, P) complex64 x(A^T k) at the first P = `number` points, phases about D // 2."""
        layout, table, frequencies, _ = self._map

        def work(rows: np.ndarray) -> np.ndarray:
            some = tf.constant(rotations[rows], tf.float32)
            real, imaginary = _compiled(_slices, layout)(table, frequencies[:number], some)
            return real.numpy() + 1j * imaginary.numpy()

        return np.concatenate(self.memory.parts(work, len(rotations)))

    def gram(self, rotations, shifts_px, particle, y_real, y_imaginary, c) -> tf.Tensor:
        """Inner products of the model's derivatives (5), the model and the image: (B, 7, 7).

        Parameters
        ----------
        rotations, shifts_px : (B, 3, 3), (B, 2) float32.
        particle : (B,) int32, row of y and c.
        y_real, y_imaginary, c : (N, P) float32 whitened coefficients and modulation.
        """
        layout, *arrays = self._map
        return _compiled(_gram, layout)(
            *arrays, rotations, shifts_px, particle, y_real, y_imaginary, c
        )

    def scan(
        self, rotations, shifts_px, particle, shift_grid_px, y_real, y_imaginary, c
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """Best gain (B,) of each pose over a grid of shifts (S, 2) about its own, and which shift, (B,) int32.

        Other arguments as for `gram`.
        """
        layout, *arrays = self._map
        poses = (rotations, shifts_px, particle)
        return _compiled(_scan, layout)(*arrays, *poses, shift_grid_px, y_real, y_imaginary, c)

    def scan_slices(
        self, slices, row, shifts_px, particle, shift_grid_px, y_real, y_imaginary, c
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """The same with slices that are there already: rows (B,) int32 of (G, 2 P), real parts and then imaginary."""
        radians = self._map[-1]
        poses = (shifts_px, particle)
        return _compiled_scan_slices()(
            radians, slices, row, *poses, shift_grid_px, y_real, y_imaginary, c
        )


def _slices(layout, table, frequencies, rotations):
    return _values(
        FourierVolumes.of_table(layout, table), slice_points(rotations, frequencies, layout.scale)
    )


def _gram(
    layout, table, frequencies, radians, rotations, shifts_px, particle, y_real, y_imaginary, c
):
    number = tf.shape(y_real)[1]
    k, radians = frequencies[:number], radians[:number]
    points = slice_points(rotations, k, layout.scale)
    parts = FourierVolumes.of_table(layout, table).values_and_gradients(_first(points), points)
    (real, by_pose_real), (imaginary, by_pose_imaginary) = (
        (value, _by_rotation(gradient, rotations, k, layout.scale)) for value, gradient in parts
    )
    phase = -tf.matmul(shifts_px, radians, transpose_b=True)
    c = tf.gather(c, particle)
    cosine, sine = c * tf.cos(phase), c * tf.sin(phase)
    m = _product(real, imaginary, cosine, sine)
    rows = [_product(r, i, cosine, sine) for r, i in zip(by_pose_real, by_pose_imaginary)]
    rows += [(m[1] * radians[:, a], -m[0] * radians[:, a]) for a in (0, 1)]
    rows += [m, (tf.gather(y_real, particle), tf.gather(y_imaginary, particle))]
    stacked = tf.stack([tf.concat(row, axis=1) for row in rows], axis=1)
    return tf.matmul(stacked, stacked, transpose_b=True)


def _scan(
    layout,
    table,
    frequencies,
    radians,
    rotations,
    shifts_px,
    particle,
    shift_grid_px,
    y_real,
    y_imaginary,
    c,
):
    number = tf.shape(y_real)[1]
    k, radians = frequencies[:number], radians[:number]
    points = slice_points(rotations, k, layout.scale)
    real, imaginary = _values(FourierVolumes.of_table(layout, table), points)
    return _best_shifts(
        radians, real, imaginary, shifts_px, particle, shift_grid_px, y_real, y_imaginary, c
    )


def _scan_slices(radians, slices, row, shifts_px, particle, shift_grid_px, y_real, y_imaginary, c):
    real, imaginary = tf.split(tf.gather(slices, row), 2, axis=1)
    radians = radians[: tf.shape(c)[1]]
    return _best_shifts(
        radians, real, imaginary, shifts_px, particle, shift_grid_px, y_real, y_imaginary, c
    )


def _best_shifts(
    radians, real, imaginary, shifts_px, particle, shift_grid_px, y_real, y_imaginary, c
):
    c, y_real, y_imaginary = (tf.gather(a, particle) for a in (c, y_real, y_imaginary))
    phase = -tf.matmul(shifts_px, radians, transpose_b=True)
    real, imaginary = _product(real, imaginary, c * tf.cos(phase), c * tf.sin(phase))
    power = tf.reduce_sum(real * real + imaginary * imaginary, axis=1)
    # Re(conj(m0 exp(-i p)) y) = Re(z) cos p - Im(z) sin p with z = conj(m0) y and p = 2 pi k.t / D
    z = tf.concat(
        [real * y_real + imaginary * y_imaginary, imaginary * y_real - real * y_imaginary], axis=1
    )
    waves = tf.matmul(radians, shift_grid_px, transpose_b=True)
    products = tf.matmul(z, tf.concat([tf.cos(waves), tf.sin(waves)], axis=0))
    best = tf.argmax(products, axis=1, output_type=tf.int32)
    height = tf.maximum(tf.reduce_max(products, axis=1), 0.0)
    return tf.math.divide_no_nan(height * height, power), best


def _floats(*shape) -> tf.TensorSpec:
    return tf.TensorSpec(shape, tf.float32)


_FREQUENCIES, _ROTATIONS, _SHIFTS = _floats(None, 2), _floats(None, 3, 3), _floats(None, 2)
_POSES = (_ROTATIONS, _SHIFTS, tf.TensorSpec((None,), tf.int32))
_IMAGES = (_floats(None, None),) * 3
_ARGUMENTS = {
    _slices: (_FREQUENCIES, _ROTATIONS),
    _gram: (_FREQUENCIES, _FREQUENCIES, *_POSES, *_IMAGES),
    _scan: (_FREQUENCIES, _FREQUENCIES, *_POSES, _SHIFTS, *_IMAGES),
}


@lru_cache(maxsize=None)
def _compiled(function, layout: TableLayout):
    """Traced once for all maps of a layout and batches of any size."""
    table = _floats(None, 2 * len(layout.packed))
    return tf.function(partial(function, layout), input_signature=(table, *_ARGUMENTS[function]))


@lru_cache(maxsize=1)
def _compiled_scan_slices():
    _, shifts, particle = _POSES
    signature = (_FREQUENCIES, _floats(None, None), particle, shifts, particle, _SHIFTS, *_IMAGES)
    return tf.function(_scan_slices, input_signature=signature)


def _by_rotation(
    gradient: List[tf.Tensor], rotations: tf.Tensor, k: tf.Tensor, scale: float
) -> List[tf.Tensor]:
    """Derivatives by w of x(A^T exp(-[w]x) k): -(A grad x) . (w x k), three of (B, P)."""
    kx, ky = k[:, 0], k[:, 1]
    in_plane = [rotations[:, 0, a, None] * ky - rotations[:, 1, a, None] * kx for a in (0, 1, 2)]
    along_beam = sum(rotations[:, 2, a, None] * gradient[a] for a in (0, 1, 2))
    turned = sum(in_plane[a] * gradient[a] for a in (0, 1, 2))
    return [-scale * ky * along_beam, scale * kx * along_beam, scale * turned]


def _values(volumes: FourierVolumes, points):
    return volumes.values(_first(points), points)


def _first(points) -> tf.Tensor:
    """(B,) zeros: there is one volume."""
    return tf.zeros(tf.shape(points[0])[:1], tf.int32)


def _product(real, imaginary, cosine, sine):
    """(real + i imaginary) (cosine + i sine), as two tensors."""
    return real * cosine - imaginary * sine, real * sine + imaginary * cosine
