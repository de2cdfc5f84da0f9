"""Slices of a map that are computed once: at the rotations of a grid, and all over SO(3) to find
those that fit best.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import List, Optional, Tuple

import numpy as np
import tensorflow as tf
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ..fourier.points import FourierPoints
from ..geometry.sampling import healpix_grid
from ..likelihood.pose_likelihood import PoseLikelihood
from ..parallel import in_order
from .poses import Poses
from .search_grids import MARCH, SHIFT_STEP, scan_shifts

#: HEALPix order of the orientations, 36,864 of them 7.5° apart.
_ORDER = 3
#: The first step, on the grid of half this fineness, ends at a radius lower by this factor; the
#: orientations about one in so many of its best are compared in the second step, and one in so many
#: of all in the last.
_COARSER, _ONE_IN, _ONE_IN_LAST = 1.3, 4, 16
#: Coefficients of all slices together, at most: 270 MB, and less than half as much for the first
#: step.
MOST_COEFFICIENTS = 2**25
#: Orientations that a thread interpolates at once: interpolation takes many times the memory of its
#: result.
_AT_ONCE = 2048


class SliceTable:
    """Slices at G rotations (G, 3, 3)."""

    def __init__(self, likelihood: PoseLikelihood, rotations: np.ndarray):
        self._likelihood, self._rotations = likelihood, rotations
        self._made: Optional[Tuple[int, tf.Tensor]] = None
        self._lock = threading.Lock()

    def up_to(self, number: int) -> tf.Tensor:
        """(G, 2 P) float32, real parts and then imaginary, of the first P = `number` points."""
        with self._lock:
            if self._made is None or self._made[0] != number:
                slices = self._likelihood.slices(self._rotations, number)
                self._made = number, real_then_imaginary(slices)
            return self._made[1]


class ReferenceBank:
    """Slices at all orientations of a grid, for comparison with images in three steps.

    A coarser grid is compared at a low radius; the orientations about the best quarter of it up to
    a first radius; the best of these again up to `MARCH` times that radius, at shifts about their
    own best. Radii are smaller where the slices would take too much memory. Noise that is strong at
    low frequencies misleads the first steps but not the last.

    Parameters
    ----------
    likelihood : of the map.
    points : of the images.
    radius : of the second step, in cycles per box.
    threads : that compute the slices; 0: one for each core.
    """

    def __init__(
        self, likelihood: PoseLikelihood, points: FourierPoints, radius: float, threads: int = 0
    ):
        self.rotations = healpix_grid(_ORDER)
        most = min(points.within(MARCH * radius), MOST_COEFFICIENTS // len(self.rotations))
        last = float(points.radius[most - 1])
        middle = max(last / MARCH, 1.0)
        self._radii = [max(middle / _COARSER, 1.0), middle, last]
        self._numbers = [points.within(r) for r in self._radii]
        self._box_size_px = points.box_size_px
        self._radians = points.frequencies[: self._numbers[-1]] * (2 * np.pi / points.box_size_px)

        pieces = np.array_split(self.rotations, -(-len(self.rotations) // _AT_ONCE))
        made = in_order(
            lambda rotations: likelihood.slices(rotations, self._numbers[-1]), pieces, threads
        )
        slices = np.concatenate([piece for _, piece in made])
        coarse = likelihood.slices(healpix_grid(_ORDER - 1), self._numbers[0])
        # TensorFlow multiplies: NumPy's library would put all cores on each product of each thread.
        self._tables = [real_then_imaginary(a) for a in (coarse, slices[:, : self._numbers[1]])]
        self._last = tf.constant(slices.real), tf.constant(slices.imag)

    @property
    def radius(self) -> float:
        """Up to which the best orientations were compared."""
        return self._radii[-1]

    def best(
        self, y: np.ndarray, c: np.ndarray, shifts_px: np.ndarray, max_shift_px: float, number: int
    ) -> Tuple[Poses, np.ndarray]:
        """The orientations of highest gain for each image, at their best shifts.

        Parameters
        ----------
        y, c : (B, P) whitened coefficients and modulation.
        shifts_px : (B, 2), about which shifts are tried.
        max_shift_px : largest distance of a shift from these.
        number : of orientations for each image.

        Returns
        -------
        Poses, `number` for each image, and the gain of each, (B * number,) float64.
        """
        number = min(number, len(self.rotations) // _ONE_IN_LAST)
        waves = _Waves(self._radii, self._numbers, self._radians, max_shift_px, self._box_size_px)
        best = [self._best_of(*image, waves, number) for image in zip(y, c, shifts_px)]
        rotation, shift, gain = (np.concatenate(arrays) for arrays in zip(*best))
        particle = np.repeat(np.arange(len(y)), number)
        return Poses(particle, self.rotations[rotation], shifts_px[particle] + shift), gain

    def _best_of(
        self, y: np.ndarray, c: np.ndarray, shift_px: np.ndarray, waves: _Waves, number: int
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(rows of the rotations, shifts about the given one (number, 2), gains) for one image,
        (number,) each.
        """
        c = c[: self._numbers[-1]]
        z = c * y[: self._numbers[-1]] * np.exp(1j * (self._radians @ shift_px))
        power = (c * c).astype(np.float32)

        coarse, fine = self._tables
        cells, _, _ = _highest(coarse, z, power, waves.grids[0], len(coarse) // _ONE_IN)
        rows = _rows_about(cells)
        chosen, shift, _ = _highest(
            tf.gather(fine, rows), z, power, waves.grids[1], len(self.rotations) // _ONE_IN_LAST
        )
        rows = rows[chosen]
        best, near, gain = _compared_nearby(
            *(tf.gather(table, rows) for table in self._last),
            *(tf.constant(part.astype(np.float32)) for part in (z.real, z.imag)),
            tf.constant(power),
            *(tf.gather(part, shift) for part in waves.at_shifts),
            *waves.nearby,
            tf.constant(number),
        )
        found = waves.shifts_px[shift[best.numpy()]] + waves.nearby_px[near.numpy()]
        return rows[best.numpy()], found, gain.numpy().astype(np.float64)


class _Waves:
    """Phases exp(2 pi i k.t / D) of the shifts that the three steps try.

    grids : the first two steps', (S, P) complex each. at_shifts : real and imaginary parts of the
    second grid at all points, (S, P). nearby : of the shifts about each of these, (P, L).
    shifts_px, nearby_px : these shifts, (S, 2) and (L, 2).
    """

    def __init__(
        self,
        radii: List[float],
        numbers: List[int],
        radians: np.ndarray,
        max_shift_px: float,
        box_size_px: int,
    ):
        coarse, self.shifts_px = (scan_shifts(max_shift_px, box_size_px, r) for r in radii[:2])
        step = 1.01 * SHIFT_STEP * box_size_px / radii[1] if max_shift_px else 0.0
        self.nearby_px = scan_shifts(step, box_size_px, radii[2])
        self.grids = [
            np.exp(1j * (shifts @ radians[:n].T))
            for shifts, n in zip((coarse, self.shifts_px), numbers)
        ]
        whole = np.exp(1j * (self.shifts_px @ radians.T))
        nearby = np.exp(1j * (radians @ self.nearby_px.T))
        self.at_shifts, self.nearby = (
            tuple(tf.constant(part.astype(np.float32)) for part in (a.real, a.imag))
            for a in (whole, nearby)
        )


def real_then_imaginary(slices: np.ndarray) -> tf.Tensor:
    """(N, P) complex -> (N, 2 P) float32."""
    return tf.constant(np.concatenate([slices.real, slices.imag], axis=1), tf.float32)


def _highest(
    slices: tf.Tensor, z: np.ndarray, power: np.ndarray, waves: np.ndarray, number: int
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, best shifts, gains) of the best slices, (N, 2 P): real parts and then imaginary.

    <m, y> with m = c exp(-i p) x is the sum of Re(x* c y exp(i p)): one matrix product for all
    shifts.
    """
    points = waves.shape[1]
    turned = z[:points] * waves
    parts = np.concatenate([turned.real, turned.imag], axis=1).astype(np.float32)
    found = _compared(
        slices, tf.constant(parts), tf.constant(np.tile(power[:points], 2)), tf.constant(number)
    )
    rows, shifts, gain = (array.numpy() for array in found)
    return rows, shifts, gain


def _floats(dimensions: int) -> tf.TensorSpec:
    return tf.TensorSpec((None,) * dimensions)


_NUMBER = tf.TensorSpec((), tf.int32)


@tf.function(input_signature=[*[_floats(2)] * 2, _floats(1), _NUMBER])
def _compared(slices: tf.Tensor, turned: tf.Tensor, modulation: tf.Tensor, number: tf.Tensor):
    products = tf.matmul(slices, turned, transpose_b=True)
    return _best_products(products, tf.linalg.matvec(slices * slices, modulation), number)


@tf.function(input_signature=[*[_floats(2)] * 2, *[_floats(1)] * 3, *[_floats(2)] * 4, _NUMBER])
def _compared_nearby(
    real: tf.Tensor,
    imaginary: tf.Tensor,
    z_real: tf.Tensor,
    z_imaginary: tf.Tensor,
    modulation: tf.Tensor,
    wave_real: tf.Tensor,
    wave_imaginary: tf.Tensor,
    nearby_real: tf.Tensor,
    nearby_imaginary: tf.Tensor,
    number: tf.Tensor,
):
    """The same of slices (N, P) that have a shift of their own each, at shifts about it."""
    a = z_real * wave_real - z_imaginary * wave_imaginary
    b = z_real * wave_imaginary + z_imaginary * wave_real
    products = tf.matmul(real * a + imaginary * b, nearby_real) - tf.matmul(
        real * b - imaginary * a, nearby_imaginary
    )
    power = tf.linalg.matvec(real * real + imaginary * imaginary, modulation)
    return _best_products(products, power, number)


def _best_products(products: tf.Tensor, power: tf.Tensor, number: tf.Tensor):
    """(rows, best shifts, gains) from inner products (N, S) and powers (N,)."""
    height = tf.maximum(tf.reduce_max(products, axis=1), 0.0)
    gain, rows = tf.math.top_k(height**2 / tf.maximum(power, 1e-30), number)
    return rows, tf.argmax(tf.gather(products, rows), axis=1), gain


def _rows_about(cells: np.ndarray) -> np.ndarray:
    """Rows of the fine grid that are nearest to some rotations of the coarse one."""
    cell = _cells()
    chosen = np.zeros(cell.max() + 1, dtype=bool)
    chosen[cells] = True
    return np.flatnonzero(chosen[cell])


@lru_cache(maxsize=1)
def _cells() -> np.ndarray:
    """The nearest rotation of the coarse grid to each of the fine grid."""
    coarse, fine = (
        Rotation.from_matrix(healpix_grid(order)).as_quat() for order in (_ORDER - 1, _ORDER)
    )
    nearest = cKDTree(np.concatenate([coarse, -coarse])).query(fine)[1]
    return nearest % len(coarse)
