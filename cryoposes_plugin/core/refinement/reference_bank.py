"""Slices of a map that are computed once: at the rotations of a grid, and all over SO(3) to find
those that fit best.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import List, Optional, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.points import FourierPoints
from ..geometry.sampling import healpix_grid
from ..parallel import in_order
from .likelihood import PoseLikelihood
from .poses import Poses
from .search_grids import MARCH, scan_shifts

#: HEALPix order of the orientations, 36,864 of them 7.5° apart.
_ORDER = 3
#: One in this many of them is compared again, up to higher frequencies.
_ONE_IN = 4
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
                self._made = (
                    number,
                    tf.constant(np.concatenate([slices.real, slices.imag], axis=1), tf.float32),
                )
            return self._made[1]


class ReferenceBank:
    """Slices at all orientations of a grid, for comparison with images in two steps.

    All orientations are compared up to a first radius, the best of them again up to `MARCH` times
    that radius; both radii are smaller where the slices would take too much memory. Noise that is
    strong at low frequencies misleads the first comparison but not the second.

    Parameters
    ----------
    likelihood : of the map.
    points : of the images.
    radius : of the first comparison, in cycles per box.
    threads : that compute the slices; 0: one for each core.
    """

    def __init__(
        self, likelihood: PoseLikelihood, points: FourierPoints, radius: float, threads: int = 0
    ):
        self.rotations = _rotations()
        most = min(points.within(MARCH * radius), MOST_COEFFICIENTS // len(self.rotations))
        last = float(points.radius[most - 1])
        self._radii = [max(last / MARCH, 1.0), last]
        self._numbers = [points.within(r) for r in self._radii]
        self._box_size_px = points.box_size_px
        pieces = np.array_split(self.rotations, -(-len(self.rotations) // _AT_ONCE))
        made = in_order(
            lambda rotations: likelihood.slices(rotations, self._numbers[-1]), pieces, threads
        )
        slices = np.concatenate([piece for _, piece in made])
        self._radians = points.frequencies[: self._numbers[-1]] * (2 * np.pi / points.box_size_px)
        # TensorFlow multiplies: NumPy's library would put all cores on each product of each thread.
        self._tables = [tf.constant(slices[:, :n].view(np.float32)) for n in self._numbers]

    @property
    def radius(self) -> float:
        """Up to which the best orientations were compared."""
        return self._radii[-1]

    def best(
        self, y: np.ndarray, c: np.ndarray, shifts_px: np.ndarray, max_shift_px: float, number: int
    ) -> Tuple[Poses, np.ndarray]:
        """The orientations of highest gain (see `likelihood`) for each image, at their best shifts.

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
        number = min(number, len(self.rotations) // _ONE_IN)
        grids = [scan_shifts(max_shift_px, self._box_size_px, r) for r in self._radii]
        waves = [np.exp(1j * (grid @ self._radians[:n].T)) for grid, n in zip(grids, self._numbers)]
        best = [self._best_of(*image, waves, number) for image in zip(y, c, shifts_px)]
        rotation, shift, gain = (np.concatenate(arrays) for arrays in zip(*best))
        particle = np.repeat(np.arange(len(y)), number)
        shifts = shifts_px[particle] + grids[-1][shift]
        return Poses(particle, self.rotations[rotation], shifts), gain

    def _best_of(
        self,
        y: np.ndarray,
        c: np.ndarray,
        shift_px: np.ndarray,
        waves: List[np.ndarray],
        number: int,
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(rows of the rotations, rows of the last shift grid, gains) for one image, (number,)
        each.
        """
        c = c[: self._numbers[-1]]
        z = c * y[: self._numbers[-1]] * np.exp(1j * (self._radians @ shift_px))
        first, last = self._tables
        rows, _, _ = _highest(first, z, c, waves[0], len(self.rotations) // _ONE_IN)
        best, shift, gain = _highest(tf.gather(last, rows), z, c, waves[1], number)
        return rows[best], shift, gain.astype(np.float64)


def _highest(
    slices: tf.Tensor, z: np.ndarray, c: np.ndarray, waves: np.ndarray, number: int
) -> Tuple:
    """(rows, best shifts, gains) of the best slices; these are (N, 2 P), real and imaginary parts
    in turns.

    <m, y> with m = c exp(-i p) x is the sum of Re(x* c y exp(i p)): one matrix product for all
    shifts.
    """
    turned = (z[: waves.shape[1]] * waves).astype(np.complex64).view(np.float32)
    power = np.repeat(c[: waves.shape[1]].astype(np.float32) ** 2, 2)
    found = _compared(slices, tf.constant(turned), tf.constant(power), tf.constant(number))
    return tuple(array.numpy() for array in found)


@tf.function(
    input_signature=[
        *[tf.TensorSpec((None, None))] * 2,
        tf.TensorSpec((None,)),
        tf.TensorSpec((), tf.int32),
    ]
)
def _compared(slices: tf.Tensor, turned: tf.Tensor, modulation: tf.Tensor, number: tf.Tensor):
    products = tf.matmul(slices, turned, transpose_b=True)
    height = tf.maximum(tf.reduce_max(products, axis=1), 0.0)
    power = tf.linalg.matvec(slices * slices, modulation)
    gain, rows = tf.math.top_k(height**2 / tf.maximum(power, 1e-30), number)
    return rows, tf.argmax(tf.gather(products, rows), axis=1), gain


@lru_cache(maxsize=1)
def _rotations() -> np.ndarray:
    return healpix_grid(_ORDER)
