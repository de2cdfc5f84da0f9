"""A map's slices at orientations all over SO(3), and the ones that fit an image best in the lowest shells."""

from __future__ import annotations

from functools import lru_cache
from typing import Tuple

import numpy as np

from ..geometry.sampling import rotation_grid
from .fourier_points import FourierPoints
from .levenberg_marquardt import Poses
from .likelihood import PoseLikelihood

#: HEALPix order of the orientations, 4,608 of them 15° apart.
_ORDER = 2


class Everywhere:
    """Slices at all orientations of a grid, up to a radius in cycles per box."""

    def __init__(self, likelihood: PoseLikelihood, points: FourierPoints, radius: float):
        self.rotations = _rotations()
        self._number = points.within(radius)
        slices = likelihood.slices(self.rotations, self._number)
        self._radians = points.frequencies[: self._number] * (2 * np.pi / points.box_size_px)
        self._parts = np.concatenate([slices.real, slices.imag], axis=1).T.astype(np.float32)
        self._power = (np.abs(slices) ** 2).T.astype(np.float32)

    def best(self, y: np.ndarray, c: np.ndarray, shifts_px: np.ndarray, grid_px: np.ndarray, number: int) -> Poses:
        """The orientations of highest gain (see `likelihood`) for each image, `number` of them, at their best shifts.

        y, c : (B, P) whitened coefficients and modulation. shifts_px : (B, 2), about which the grid (S, 2) lies.
        """
        number = min(number, len(self.rotations))
        y, c = y[:, : self._number], c[:, : self._number]
        waves = np.exp(1j * (grid_px @ self._radians.T))
        found = [self._best_of(*image, waves, number) for image in zip(y, c, shifts_px)]
        rotation, shift, gain = (np.concatenate(arrays) for arrays in zip(*found))
        particle = np.repeat(np.arange(len(y)), number)
        return Poses(particle, self.rotations[rotation], shifts_px[particle] + grid_px[shift], gain=gain)

    def _best_of(self, y, c, shift_px, waves, number: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(rows of the rotations, rows of the shift grid, gains) for one image, (number,) each.

        <m, y> with m = c exp(-i p) x is the sum of Re(x* c y exp(i p)): one matrix product for all shifts.
        """
        turned = c * y * np.exp(1j * (self._radians @ shift_px)) * waves
        products = np.concatenate([turned.real, turned.imag], axis=1).astype(np.float32) @ self._parts
        shift = products.argmax(axis=0)
        height = np.maximum(products[shift, np.arange(len(shift))], 0).astype(np.float64)
        gain = height**2 / np.maximum((c * c) @ self._power, 1e-30)
        best = np.argpartition(-gain, number - 1)[:number]
        return best, shift[best], gain[best]


@lru_cache(maxsize=1)
def _rotations() -> np.ndarray:
    return rotation_grid(_ORDER)
