"""Grids of rotations that are quarters and their mates, so that one slice gives four.

The half turns about the axes of an image take its coefficient at k = (kx, ky) to that at (kx, -ky),
(-kx, ky) and (-kx, -ky). A HEALPix grid contains with every rotation the three that are turned so
further. Of images and slices, the parts that are even or odd under both half turns are compared
apart, each with a quarter of the products, and the four sums with all signs are the log likelihoods
of the four mates.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Tuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ..geometry.sampling import healpix_directions, in_plane_steps, rotations_viewing

#: No turn, and half turns about x, y and z of the image.
HALF_TURNS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float64)
MATES = len(HALF_TURNS)
_ON_EQUATOR = 1e-9


@lru_cache(maxsize=4)
def quarter_grid(order: int) -> np.ndarray:
    """(Q, 3, 3) rotations of `healpix_grid`, of each four mates one."""
    directions = healpix_directions(order)
    height, y = directions[:, 2], directions[:, 1]
    upper = (height > _ON_EQUATOR) | (
        (np.abs(height) <= _ON_EQUATOR)
        & ((y > _ON_EQUATOR) | ((np.abs(y) <= _ON_EQUATOR) & (directions[:, 0] > 0)))
    )
    directions, steps = directions[upper], in_plane_steps(order)
    psi = np.tile(2 * np.pi * np.arange(steps // 2) / steps, len(directions))
    return rotations_viewing(np.repeat(directions, steps // 2, axis=0), psi)


def whole_grid(order: int) -> np.ndarray:
    """(4 Q, 3, 3): the quarter, then its mates by each of `HALF_TURNS`."""
    return (HALF_TURNS[:, None, :, None] * quarter_grid(order)).reshape(-1, 3, 3)


@lru_cache(maxsize=1)
def parents(order: int) -> np.ndarray:
    """(4, Q) the nearest rotation of the grid of the order below, for each of `whole_grid`."""
    coarse, fine = (Rotation.from_matrix(whole_grid(o)).as_quat() for o in (order - 1, order))
    nearest = cKDTree(np.concatenate([coarse, -coarse])).query(fine)[1]
    return (nearest % len(coarse)).reshape(MATES, -1)


class Parts(NamedTuple):
    """(..., P') float32 parts of coefficients: even and odd under the turn about x, real and then
    imaginary. The turn about z changes the sign of the imaginary parts.
    """

    even_real: np.ndarray
    odd_real: np.ndarray
    even_imaginary: np.ndarray
    odd_imaginary: np.ndarray


class HalfTurns:
    """What half turns do at P points (P, 2) of half the plane, which contain with (kx, ky) either
    (kx, -ky) or its opposite.
    """

    def __init__(self, frequencies: np.ndarray):
        kx, ky = np.rint(frequencies).astype(np.int64).T
        place = {pair: row for row, pair in enumerate(zip(kx.tolist(), ky.tolist()))}
        turned = [place[(x, -y) if (x, -y) in place else (-x, y)] for x, y in place]
        self._turned = np.array(turned, np.intp)
        self._opposite = np.flatnonzero((kx == 0) & (ky != 0))
        self._low = np.flatnonzero((kx != 0) & (ky < 0))
        self._high = self._turned[self._low]
        self._alone = np.flatnonzero(ky == 0)

    def about_x(self, values: np.ndarray) -> np.ndarray:
        """(..., P) complex coefficients of images turned about x."""
        out = values.take(self._turned, axis=-1)
        out[..., self._opposite] = out[..., self._opposite].conj()
        return out

    def mates(self, values: np.ndarray, mate: np.ndarray) -> np.ndarray:
        """(B, P) coefficients, each turned by one (B,) of `HALF_TURNS`."""
        out = values.copy()
        out[(mate == 1) | (mate == 2)] = self.about_x(values[(mate == 1) | (mate == 2)])
        np.conjugate(out, out=out, where=(mate >= 2)[:, None])
        return out

    def parts(self, values: np.ndarray) -> Parts:
        """Of coefficients (..., P); sums over the points of products of two images become sums over
        the points of all parts.
        """
        even, odd, column, row = self._pieces(values)

        def joined(*arrays: np.ndarray) -> np.ndarray:
            return np.concatenate(arrays, axis=-1).astype(np.float32, copy=False)

        return Parts(
            joined(even.real, column.real, row.real),
            joined(odd.real),
            joined(even.imag, row.imag),
            joined(odd.imag, column.imag),
        )

    def power_parts(self, values: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Even and odd parts (..., P') of real values (..., P) that k and -k share."""
        even, odd, column, row = self._pieces(values)
        return np.concatenate([even, column, row], axis=-1), odd

    def _pieces(self, values: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Sums and differences of the points and those turned about x, the points that are turned
        into their opposites, and those that stay.
        """
        low, high, column, row = (
            values.take(rows, axis=-1)
            for rows in (self._low, self._high, self._opposite, self._alone)
        )
        half = np.float32(np.sqrt(0.5))
        return (high + low) * half, (high - low) * half, column, row
