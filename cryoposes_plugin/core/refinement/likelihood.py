"""The likelihood of a pose, its derivatives, and its values on a grid of shifts (TensorFlow).

With whitened coefficients y = s c exp(-2 pi i k.t / D) x(A^T k) + n and the scale s of the particle
profiled out, twice the logarithm of the likelihood rises over that of "no signal" by

    gain(A, t) = max(0, <m, y>)^2 / <m, m>,
    m = c exp(-2 pi i k.t / D) x(A^T k),   <u, v> = Re sum u* v.

The tangent of a pose is (w, dt): A becomes exp([w]x) A, w in radians in the image's frame, t
becomes t + dt in pixels.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.points import FourierPoints
from ..fourier.resampling import projected_density
from ..imaging.fourier_projector import slice_points
from ..imaging.fourier_volumes import FourierVolumes, TableLayout
from ..imaging.padding import choose_padding
from ..memory import BatchLimit
from ..types import Volume

#: Of the tangent of a pose, (w, dt).
PARAMETERS = 5


class PoseTensors(NamedTuple):
    """B poses: rotations (B, 3, 3) and shifts_px (B, 2) float32, and the row of each pose's image,
    (B,) int32.
    """

    rotations: tf.Tensor
    shifts_px: tf.Tensor
    particle: tf.Tensor


class TabulatedPoseTensors(NamedTuple):
    """The same with rows (B,) int32 of a table of slices in place of rotations."""

    slice_row: tf.Tensor
    shifts_px: tf.Tensor
    particle: tf.Tensor


class ImageTensors(NamedTuple):
    """N whitened images at the first P points: real and imaginary parts, and modulation c, each (N,
    P) float32.
    """

    real: tf.Tensor
    imaginary: tf.Tensor
    modulation: tf.Tensor

    def of(self, particle: tf.Tensor) -> ImageTensors:
        """The image of each pose, (B, P)."""
        return ImageTensors(*(tf.gather(values, particle) for values in self))


class MapTensors(NamedTuple):
    """A map's table of Fourier coefficients, and all points (P, 2): in cycles per box and in
    radians per pixel.
    """

    table: tf.Tensor
    frequencies: tf.Tensor
    radians: tf.Tensor


class PoseLikelihood:
    """Compares images with the slices of a map; every method works on the first P points of
    `points`.

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
        self._map = MapTensors(volumes.table, frequencies, (2.0 * math.pi / box) * frequencies)
        self._graphs = _graphs_of(volumes.layout)
        self.memory = BatchLimit("images")

    def slices(self, rotations: np.ndarray, number: int) -> np.ndarray:
        """(B, P) complex64 x(A^T k) at the first P = `number` points, phases about D // 2."""
        frequencies = self._map.frequencies[:number]

        def work(rows: np.ndarray) -> np.ndarray:
            chunk = tf.constant(rotations[rows], tf.float32)
            real, imaginary = self._graphs.slices(self._map.table, frequencies, chunk)
            return real.numpy() + 1j * imaginary.numpy()

        return np.concatenate(self.memory.parts(work, len(rotations)))

    def gram(self, poses: PoseTensors, images: ImageTensors) -> tf.Tensor:
        """Inner products of the model's derivatives (5), the model and the image: (B, 7, 7)."""
        return self._graphs.gram(self._map, poses, images)

    def scan(
        self, poses: PoseTensors, shift_grid_px: tf.Tensor, images: ImageTensors
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """Best gain (B,) of each pose over a grid of shifts (S, 2) about its own, and which shift,
        (B,) int32.
        """
        return self._graphs.scan(self._map, poses, shift_grid_px, images)

    def scan_slices(
        self,
        slices: tf.Tensor,
        poses: TabulatedPoseTensors,
        shift_grid_px: tf.Tensor,
        images: ImageTensors,
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """As `scan`, with slices that have been made already.

        Parameters
        ----------
        slices : (G, 2 P) float32, real parts and then imaginary parts.
        poses : B poses, which refer to rows of the slices.
        shift_grid_px : (S, 2) float32.
        images : N images.
        """
        return _scan_slices(self._map.radians, slices, poses, shift_grid_px, images)


def _floats(*shape: Optional[int]) -> tf.TensorSpec:
    return tf.TensorSpec(shape, tf.float32)


_INDICES, _POINTS = tf.TensorSpec((None,), tf.int32), _floats(None, 2)
_ROTATIONS, _SHIFTS = _floats(None, 3, 3), _floats(None, 2)
_POSES = PoseTensors(_ROTATIONS, _SHIFTS, _INDICES)
_TABULATED_POSES = TabulatedPoseTensors(_INDICES, _SHIFTS, _INDICES)
_IMAGES = ImageTensors(*[_floats(None, None)] * 3)


class _Graphs:
    """The functions of maps of one layout, each traced once for batches of any size."""

    def __init__(self, layout: TableLayout):
        self._layout = layout
        table = _floats(None, 2 * len(layout.packed))
        of_map = MapTensors(table, _POINTS, _POINTS)
        self.slices = tf.function(self._slices, input_signature=(table, _POINTS, _ROTATIONS))
        self.gram = tf.function(self._gram, input_signature=(of_map, _POSES, _IMAGES))
        self.scan = tf.function(self._scan, input_signature=(of_map, _POSES, _SHIFTS, _IMAGES))

    def _slices(self, table: tf.Tensor, frequencies: tf.Tensor, rotations: tf.Tensor):
        points = slice_points(rotations, frequencies, self._layout.scale)
        return _values(FourierVolumes.of_table(self._layout, table), points)

    def _gram(self, of_map: MapTensors, poses: PoseTensors, images: ImageTensors) -> tf.Tensor:
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
        own = images.of(poses.particle)
        cosine, sine = own.modulation * tf.cos(phase), own.modulation * tf.sin(phase)
        m = _product(real, imaginary, cosine, sine)

        rows = [_product(r, i, cosine, sine) for r, i in zip(by_pose_real, by_pose_imaginary)]
        rows += [(m[1] * radians[:, a], -m[0] * radians[:, a]) for a in (0, 1)]
        rows += [m, (own.real, own.imaginary)]
        stacked = tf.stack([tf.concat(row, axis=1) for row in rows], axis=1)
        return tf.matmul(stacked, stacked, transpose_b=True)

    def _scan(
        self,
        of_map: MapTensors,
        poses: PoseTensors,
        shift_grid_px: tf.Tensor,
        images: ImageTensors,
    ):
        number = tf.shape(images.real)[1]
        k, radians = of_map.frequencies[:number], of_map.radians[:number]
        points = slice_points(poses.rotations, k, self._layout.scale)
        slices = _values(FourierVolumes.of_table(self._layout, of_map.table), points)
        own = images.of(poses.particle)
        return _best_shifts(radians, slices, poses.shifts_px, shift_grid_px, own)


@lru_cache(maxsize=None)
def _graphs_of(layout: TableLayout) -> _Graphs:
    return _Graphs(layout)


@tf.function(
    input_signature=(_POINTS, _floats(None, None), _TABULATED_POSES, _SHIFTS, _IMAGES),
)
def _scan_slices(
    radians: tf.Tensor,
    slices: tf.Tensor,
    poses: TabulatedPoseTensors,
    shift_grid_px: tf.Tensor,
    images: ImageTensors,
):
    real, imaginary = tf.split(tf.gather(slices, poses.slice_row), 2, axis=1)
    radians = radians[: tf.shape(images.modulation)[1]]
    own = images.of(poses.particle)
    return _best_shifts(radians, (real, imaginary), poses.shifts_px, shift_grid_px, own)


def _best_shifts(
    radians: tf.Tensor,
    slices: Tuple[tf.Tensor, tf.Tensor],
    shifts_px: tf.Tensor,
    shift_grid_px: tf.Tensor,
    own: ImageTensors,
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Best gains of B poses over the grid of shifts, and which shifts these are.

    Parameters
    ----------
    radians : (P, 2) points in radians per pixel.
    slices : real and imaginary parts of the slice of each pose, (B, P).
    shifts_px : (B, 2), about which shifts are tried.
    shift_grid_px : (S, 2).
    own : the image of each pose, (B, P).
    """
    phase = -tf.matmul(shifts_px, radians, transpose_b=True)
    real, imaginary = _product(
        *slices, own.modulation * tf.cos(phase), own.modulation * tf.sin(phase)
    )
    power = tf.reduce_sum(real * real + imaginary * imaginary, axis=1)

    # Re(conj(m0 exp(-i p)) y) = Re(z) cos p - Im(z) sin p with z = conj(m0) y and p = 2 pi k.t / D
    z = tf.concat(
        [
            real * own.real + imaginary * own.imaginary,
            imaginary * own.real - real * own.imaginary,
        ],
        axis=1,
    )
    waves = tf.matmul(radians, shift_grid_px, transpose_b=True)
    products = tf.matmul(z, tf.concat([tf.cos(waves), tf.sin(waves)], axis=0))

    best = tf.argmax(products, axis=1, output_type=tf.int32)
    height = tf.maximum(tf.reduce_max(products, axis=1), 0.0)
    return tf.math.divide_no_nan(height * height, power), best


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
