"""Whitened images, compared with slices of a map a chunk at a time."""

from __future__ import annotations

from typing import Callable, Optional, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.points import FourierPoints
from ..likelihood.pose_likelihood import ImageArrays, PoseLikelihood
from ..likelihood.shift_scan import best_shifts
from .levenberg_marquardt import Gram
from .observations import Observations
from .poses import Poses
from .reference_bank import SliceTable, real_then_imaginary
from .spectra import Spectra

#: Number of coefficients that are compared with a grid of shifts at once.
_POINTS_AT_ONCE = 2**18


class WhitenedImages:
    """B images of one optics group, whitened by its spectra, and the likelihood of a map.

    Parameters
    ----------
    likelihood : of the map.
    observed : the images.
    points : of the images and the map.
    spectra : of the images' optics group.
    """

    def __init__(
        self,
        likelihood: PoseLikelihood,
        observed: Observations,
        points: FourierPoints,
        spectra: Spectra,
    ):
        self.likelihood, self.points = likelihood, points
        y, c = observed.whitened(points, spectra)
        self._arrays = ImageArrays(
            *(np.ascontiguousarray(a, dtype=np.float32) for a in (y.real, y.imag, c))
        )

    def __len__(self) -> int:
        return len(self._arrays[0])

    @property
    def coefficients(self) -> Tuple[np.ndarray, np.ndarray]:
        """y (B, P) complex64 and c (B, P) float32, see `Observations.whitened`."""
        real, imaginary, c = self._arrays
        return real + 1j * imaginary, c

    def gram(self, radius: float) -> Gram:
        """Inner products over the frequencies up to a radius, see `PoseLikelihood.gram`."""
        number = self.points.within(radius)

        def gram(rotations: np.ndarray, shifts_px: np.ndarray, particle: np.ndarray) -> np.ndarray:
            return self.likelihood.gram(rotations, shifts_px, particle, self._arrays, number)

        return gram

    def scan(
        self,
        starts: Poses,
        grid: np.ndarray,
        radius: float,
        slice_table: Optional[SliceTable] = None,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Compare every start at a grid of shifts about its own, see `best_shifts`.

        Parameters
        ----------
        starts : B poses.
        grid : (S, 2) shifts in pixels.
        radius : largest frequency to compare, in cycles per box.
        slice_table : of the rotations that `starts.on_grid` counts, or None.

        Returns
        -------
        The best gain of each start (B,) float64, and the index of its shift in the grid (B,) int64.
        """
        number = self.points.within(radius)
        size = max(1, _POINTS_AT_ONCE // number)
        step = np.float32(2 * np.pi / self.points.box_size_px)
        radians, shift_grid = _tensor(step * self.points.frequencies[:number]), _tensor(grid)
        gain, best = np.empty(len(starts), np.float64), np.empty(len(starts), np.int64)

        def scan(rows: np.ndarray, slices_of: Callable[[np.ndarray], tf.Tensor]) -> None:
            for part in np.array_split(rows, range(size, len(rows), size)):
                own = (_tensor(values[starts.particle[part], :number]) for values in self._arrays)
                shifts = _tensor(starts.shifts_px[part])
                found = best_shifts(radians, slices_of(part), shifts, shift_grid, *own)
                gain[part], best[part] = (array.numpy() for array in found)

        def interpolated(rows: np.ndarray) -> tf.Tensor:
            return real_then_imaginary(self.likelihood.slices(starts.rotations[rows], number))

        on_grid = starts.on_grid
        if slice_table is None or on_grid is None:
            scan(np.arange(len(starts)), interpolated)
            return gain, best

        slices = slice_table.up_to(number)
        scan(np.flatnonzero(on_grid < 0), interpolated)
        scan(np.flatnonzero(on_grid >= 0), lambda rows: tf.gather(slices, on_grid[rows]))
        return gain, best


def _tensor(values: np.ndarray) -> tf.Tensor:
    return tf.constant(values, tf.float32)
