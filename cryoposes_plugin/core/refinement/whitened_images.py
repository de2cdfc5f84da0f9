"""Whitened images, compared with slices of a map a chunk at a time."""

from __future__ import annotations

from typing import Callable, List, Optional, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.points import FourierPoints
from .levenberg_marquardt import Gram
from .likelihood import (
    PARAMETERS,
    ImageTensors,
    PoseLikelihood,
    PoseTensors,
    TabulatedPoseTensors,
)
from .observations import Observations
from .poses import Poses
from .reference_bank import SliceTable
from .spectra import Spectra

#: Number of coefficients that are worked on at once: they fit into the cache of a core.
_POINTS_AT_ONCE = 2**16


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
        images, chunk = self._up_to(radius)

        def gram(rotations: np.ndarray, shifts_px: np.ndarray, particle: np.ndarray) -> np.ndarray:
            out = np.empty((len(particle), PARAMETERS + 2, PARAMETERS + 2), np.float32)
            for part in _chunks(len(particle), chunk):
                poses = _pose_tensors(rotations[part], shifts_px[part], particle[part])
                out[part] = self.likelihood.gram(poses, images).numpy()
            return out

        return gram

    def scan(
        self,
        starts: Poses,
        grid: np.ndarray,
        radius: float,
        slice_table: Optional[SliceTable] = None,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Compare every start at a grid of shifts about its own, see `PoseLikelihood.scan`.

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
        images, chunk = self._up_to(radius)
        shift_grid = tf.constant(grid, tf.float32)
        gain, best = np.empty(len(starts), np.float64), np.empty(len(starts), np.int64)

        def scan(rows: np.ndarray, compare: Callable) -> None:
            for part in _chunks(len(rows), chunk):
                gains, shifts = compare(rows[part])
                gain[rows[part]], best[rows[part]] = gains.numpy(), shifts.numpy()

        def interpolated(rows: np.ndarray):
            poses = _pose_tensors(
                starts.rotations[rows], starts.shifts_px[rows], starts.particle[rows]
            )
            return self.likelihood.scan(poses, shift_grid, images)

        on_grid = starts.on_grid
        if slice_table is None or on_grid is None:
            scan(np.arange(len(starts)), interpolated)
            return gain, best

        slices = slice_table.up_to(self.points.within(radius))

        def tabulated(rows: np.ndarray):
            poses = TabulatedPoseTensors(
                tf.constant(on_grid[rows], tf.int32),
                tf.constant(starts.shifts_px[rows], tf.float32),
                tf.constant(starts.particle[rows], tf.int32),
            )
            return self.likelihood.scan_slices(slices, poses, shift_grid, images)

        scan(np.flatnonzero(on_grid < 0), interpolated)
        scan(np.flatnonzero(on_grid >= 0), tabulated)
        return gain, best

    def _up_to(self, radius: float) -> Tuple[ImageTensors, int]:
        """The images up to a radius, and the number of poses to compare with them at once."""
        number = self.points.within(radius)
        images = ImageTensors(*(tf.constant(values[:, :number]) for values in self._arrays))
        return images, max(1, _POINTS_AT_ONCE // number)


def _chunks(number: int, size: int) -> List[slice]:
    return [slice(at, at + size) for at in range(0, number, size)]


def _pose_tensors(
    rotations: np.ndarray, shifts_px: np.ndarray, particle: np.ndarray
) -> PoseTensors:
    return PoseTensors(
        tf.constant(rotations, tf.float32),
        tf.constant(shifts_px, tf.float32),
        tf.constant(particle, tf.int32),
    )
