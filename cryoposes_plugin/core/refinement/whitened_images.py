"""Whitened images, compared with slices of a map a chunk at a time."""

from __future__ import annotations

import dataclasses
import math
from typing import Callable, Optional, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.ctf import electron_wavelength_angstrom, with_defocus_changed
from ..fourier.points import FourierPoints
from ..likelihood.arrays import ImageArrays, PoseArrays
from ..likelihood.pose_likelihood import PARAMETERS, PoseLikelihood
from ..likelihood.shift_scan import best_shifts
from ..types import CtfTable
from .levenberg_marquardt import Gram
from .observations import Observations, ctf_at_points
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
            poses = PoseArrays(rotations, shifts_px, particle)
            return self.likelihood.gram(poses, self._arrays, number)

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


class DefocusImages:
    """Raw images of one optics group whose defocus is a sixth parameter of their poses.

    Both defoci of an image are larger by z: the phase of its CTF alone depends on that, by pi lambda
    z |k|^2. So the derivative of the model by z is the model with the CTF a quarter of a period on,
    times pi lambda |k|^2.

    Parameters
    ----------
    likelihood : of the map.
    points, spectra : of the images.
    coefficients : (B, P) complex64, not whitened.
    ctf : of the images.
    pixel_size_angstrom : of the images.
    """

    def __init__(
        self,
        likelihood: PoseLikelihood,
        points: FourierPoints,
        spectra: Spectra,
        coefficients: np.ndarray,
        ctf: CtfTable,
        pixel_size_angstrom: float,
    ):
        self._likelihood, self._points, self._ctf = likelihood, points, ctf
        self._pixel = pixel_size_angstrom
        ones = np.ones(coefficients.shape, np.float32)
        self._number = number = points.within(spectra.last_shell)
        y, factor = Observations(coefficients, ones).whitened(points, spectra)
        self._y, self._factor = y[:, :number], factor[:, :number]
        squared = (points.frequencies[:number] ** 2).sum(axis=1) / (
            points.box_size_px * pixel_size_angstrom
        ) ** 2
        wavelength = electron_wavelength_angstrom(np.asarray(ctf.voltage_kv))
        self._phase_per_angstrom = (math.pi * wavelength[:, None] * squared).astype(np.float32)

    def modulations(self, rows: np.ndarray, change: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """(B, P) the whitened CTF at a defocus that is larger by (B,), and its derivative by it."""
        ctf = with_defocus_changed(self._ctf.take(rows), change)
        later = dataclasses.replace(ctf, phase_shift_deg=np.asarray(ctf.phase_shift_deg) + 90.0)
        value, cosine = (
            ctf_at_points(self._points, columns, len(rows), self._pixel)[:, : self._number]
            for columns in (ctf, later)
        )
        factor = self._factor[rows]
        return factor * value, factor * self._phase_per_angstrom[rows] * cosine

    def gram(
        self, rotations: np.ndarray, shifts_px: np.ndarray, particle: np.ndarray, change: np.ndarray
    ) -> np.ndarray:
        """(B, 8, 8) inner products of the derivatives by (w, dt, z), the model and the image.

        Parameters
        ----------
        rotations, shifts_px, particle : the poses.
        change : (B, 1) z in Å.
        """
        value, slope = self.modulations(particle, change[:, 0])
        phase = self._points.phases(shifts_px)[:, : self._number]
        by_defocus = slope * phase * self._likelihood.slices(rotations, self._number)
        y, rows = self._y[particle], np.arange(len(particle))

        def products(image: np.ndarray) -> np.ndarray:
            """(B, 7, 7) with this in place of the image."""
            parts = (np.ascontiguousarray(a, np.float32) for a in (image.real, image.imag, value))
            poses = PoseArrays(rotations, shifts_px, rows)
            return self._likelihood.gram(poses, ImageArrays(*parts), self._number)

        # The derivative by z stands between those of the pose and the model.
        z, others = PARAMETERS, [*range(PARAMETERS), PARAMETERS + 1]
        rest = [*others, PARAMETERS + 2]
        with_defocus = products(by_defocus)
        out = np.empty((len(rows), PARAMETERS + 3, PARAMETERS + 3))
        out[np.ix_(rows, rest, rest)] = products(y)
        out[:, z, others] = out[:, others, z] = with_defocus[:, :-1, -1]
        out[:, z, z] = with_defocus[:, -1, -1]
        out[:, z, -1] = out[:, -1, z] = np.einsum("bp,bp->b", by_defocus.real, y.real) + np.einsum(
            "bp,bp->b", by_defocus.imag, y.imag
        )
        return out


def _tensor(values: np.ndarray) -> tf.Tensor:
    return tf.constant(values, tf.float32)
