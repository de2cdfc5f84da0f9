"""Images ready to be compared with slices of a map, piece by piece."""

from __future__ import annotations

from typing import Iterator, Optional, Tuple, Union

import numpy as np
import tensorflow as tf

from .fourier_points import FourierPoints
from .levenberg_marquardt import Gram, Poses
from .likelihood import PARAMETERS, PoseLikelihood
from .observations import Observations
from .slice_table import SliceTable
from .spectra import Spectra

#: Coefficients that are worked on at once: what a core's cache holds.
_POINTS_AT_ONCE = 2**16


class WhitenedImages:
    """B images of one optics group, whitened by its spectra, and the map's likelihood."""

    def __init__(self, likelihood: PoseLikelihood, observed: Observations, points: FourierPoints, spectra: Spectra):
        self.likelihood, self.points = likelihood, points
        y, c = observed.whitened(points, spectra)
        self._arrays = [np.ascontiguousarray(a, dtype=np.float32) for a in (y.real, y.imag, c)]

    def __len__(self) -> int:
        return len(self._arrays[0])

    @property
    def coefficients(self) -> Tuple[np.ndarray, np.ndarray]:
        """y (B, P) complex64 and c (B, P) float32, see `Observations.whitened`."""
        real, imaginary, c = self._arrays
        return real + 1j * imaginary, c

    def gram(self, radius: float) -> Gram:
        """Inner products over the frequencies up to a radius, see `PoseLikelihood.gram`."""
        arrays, chunk = self._up_to(radius)

        def gram(rotations: np.ndarray, shifts_px: np.ndarray, particle: np.ndarray) -> np.ndarray:
            out = np.empty((len(particle), PARAMETERS + 2, PARAMETERS + 2), np.float32)
            for at in range(0, len(particle), chunk):
                part = slice(at, at + chunk)
                out[part] = self.likelihood.gram(*_tensors(rotations, shifts_px, particle, part), *arrays).numpy()
            return out

        return gram

    def scan(self, starts: Poses, grid: np.ndarray, radius: float, table: Optional[SliceTable] = None):
        """(gain (B,), index (B,) of the best shift of the grid), see `PoseLikelihood.scan`.

        table : of the rotations that `starts.on_grid` counts.
        """
        arrays, chunk = self._up_to(radius)
        shifts, number = tf.constant(grid, tf.float32), self.points.within(radius)
        gain, best = np.empty(len(starts), np.float64), np.empty(len(starts), np.int64)
        on_grid = np.full(len(starts), -1) if table is None or starts.on_grid is None else starts.on_grid
        for rows in _parts(np.flatnonzero(on_grid < 0), chunk):
            rotations, own, particle = _tensors(starts.rotations, starts.shifts_px, starts.particle, rows)
            found = self.likelihood.scan(rotations, own, particle, shifts, *arrays)
            gain[rows], best[rows] = (f.numpy() for f in found)
        if table is None:
            return gain, best
        for rows in _parts(np.flatnonzero(on_grid >= 0), chunk):
            slices, row = table.up_to(number), tf.constant(on_grid[rows], tf.int32)
            _, own, particle = _tensors(starts.rotations, starts.shifts_px, starts.particle, rows)
            found = self.likelihood.scan_slices(slices, row, own, particle, shifts, *arrays)
            gain[rows], best[rows] = (f.numpy() for f in found)
        return gain, best

    def _up_to(self, radius: float):
        number = self.points.within(radius)
        return [tf.constant(a[:, :number]) for a in self._arrays], max(1, _POINTS_AT_ONCE // number)


def _parts(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for at in range(0, len(rows), size):
        yield rows[at : at + size]


def _tensors(rotations, shifts_px, particle, part: Union[slice, np.ndarray]):
    return (
        tf.constant(rotations[part], tf.float32),
        tf.constant(shifts_px[part], tf.float32),
        tf.constant(particle[part], tf.int32),
    )
