"""Images ready to be compared with slices of a map, piece by piece."""

from __future__ import annotations

from functools import partial
from typing import Optional, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.points import FourierPoints
from .levenberg_marquardt import Gram, Poses
from .likelihood import PARAMETERS, PoseLikelihood
from .observations import Observations
from .slice_table import SliceTable
from .spectra import Spectra

#: Coefficients that are worked on at once: what a core's cache holds.
_POINTS_AT_ONCE = 2**16


class WhitenedImages:
    """B images of one optics group, whitened by its spectra, and the map's likelihood."""

    def __init__(
        self,
        likelihood: PoseLikelihood,
        observed: Observations,
        points: FourierPoints,
        spectra: Spectra,
    ):
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
                out[part] = self.likelihood.gram(
                    *_tensors(rotations, shifts_px, particle, part), *arrays
                ).numpy()
            return out

        return gram

    def scan(
        self,
        starts: Poses,
        grid: np.ndarray,
        radius: float,
        slice_table: Optional[SliceTable] = None,
    ):
        """(gain (B,), index (B,) of the best shift of the grid), see `PoseLikelihood.scan`.

        slice_table : of the rotations that `starts.on_grid` counts.
        """
        arrays, chunk = self._up_to(radius)
        shift_grid = tf.constant(grid, tf.float32)
        gain, best = np.empty(len(starts), np.float64), np.empty(len(starts), np.int64)

        def scan(number: np.ndarray, function, rotation: np.ndarray, kind) -> None:
            """Of these starts, their rotations told as the function takes them."""
            for at in range(0, len(number), chunk):
                rows = number[at : at + chunk]
                shifts, particle = (
                    tf.constant(starts.shifts_px[rows], tf.float32),
                    starts.particle[rows],
                )
                found = function(
                    tf.constant(rotation[rows], kind),
                    shifts,
                    tf.constant(particle, tf.int32),
                    shift_grid,
                    *arrays,
                )
                gain[rows], best[rows] = (f.numpy() for f in found)

        if slice_table is None or starts.on_grid is None:
            scan(np.arange(len(starts)), self.likelihood.scan, starts.rotations, tf.float32)
        else:
            scan(
                np.flatnonzero(starts.on_grid < 0),
                self.likelihood.scan,
                starts.rotations,
                tf.float32,
            )
            of_table = partial(
                self.likelihood.scan_slices, slice_table.up_to(self.points.within(radius))
            )
            scan(np.flatnonzero(starts.on_grid >= 0), of_table, starts.on_grid, tf.int32)
        return gain, best

    def _up_to(self, radius: float):
        number = self.points.within(radius)
        return [tf.constant(a[:, :number]) for a in self._arrays], max(1, _POINTS_AT_ONCE // number)


def _tensors(rotations, shifts_px, particle, part: slice):
    return (
        tf.constant(rotations[part], tf.float32),
        tf.constant(shifts_px[part], tf.float32),
        tf.constant(particle[part], tf.int32),
    )
