"""A map as one half of its Fourier transform, read between the nodes by a Kaiser-Bessel kernel of
four nodes along each axis (Numba).

The kernel's transform falls off so steeply that a grid a quarter larger than the map is enough for
every map, one that fills its box included: images err by a fifth of what trilinear interpolation on
a grid of twice to four times the edge makes, which has 4 to 30 times the nodes.

Points are worked on in blocks, see `likelihood.half_volume`.
"""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
import scipy.fft
from numpy.polynomial import polynomial
from scipy.special import i0

from ..compiled import compiled, inlined
from ..conventions import centre
from ..fourier.gridding import padded_about_first
from ..fourier.half_space import on_stored_side
from .node_sums import sum_of_nodes

_u = np.uint64
#: Nodes along an axis that a point is read from.
_NODES = 4
#: Least edge of the grid over that of the map.
OVERSAMPLING = 1.25
#: Degree of the even and the odd part of a node's weight, in the square of the distance.
_DEGREE = 3
#: Points of a block, and its rows: side of the half space, distances from the middle between nodes,
#: weights of the four nodes along x, y and z.
_BLOCK = 128
_SCRATCH = 16 * _BLOCK
_SIDE, _FX, _FY, _FZ, _WX, _WY, _WZ = (_u(row * _BLOCK) for row in (0, 1, 2, 3, 4, 8, 12))
#: Lines that are transformed at once.
_LINES_AT_ONCE = 8


def grid_size(box_size_px: int) -> int:
    """Even edge of the grid for a map of this box, of a length for which the FFT is fast."""
    return 2 * scipy.fft.next_fast_len(math.ceil(OVERSAMPLING * box_size_px / 2))


class KaiserBesselVolume:
    """The transform of a volume at kx >= 0.

    Parameters
    ----------
    volume : (D, D, D) float32 [z, y, x], origin at D // 2, D even.
    """

    def __init__(self, volume: np.ndarray):
        box = len(volume)
        size = grid_size(box)
        table = _table(volume, size)
        self._table = table.reshape(-1).view(np.float32)
        self._grid = np.array([size // 2, table.shape[2], math.prod(table.shape[1:])])
        self._weights = _weights(size / box)
        self._scale = np.float32(size / box)

    def slices(self, frequencies: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """(B, P) complex64 x(A^T k) at rotations A (B, 3, 3).

        frequencies : (2, P) float32 kx and ky in cycles per box, |k| < D / 2; points that follow
        one another are best neighbours.
        """
        out = np.empty((len(rotations), frequencies.shape[1]), np.complex64)
        rotations = np.ascontiguousarray(rotations, np.float32)
        places = (self._grid, self._weights, self._scale, frequencies)
        _slices(self._table, *places, rotations, out.view(np.float32))
        return out


def _kernel(oversampling: float) -> Tuple[float, float]:
    """Shape and height of the kernel i0(beta sqrt(1 - (x / 2)^2)) / i0(beta) (Beatty et al. 2005,
    eq. 5).
    """
    beta = math.pi * math.sqrt((_NODES / oversampling * (oversampling - 0.5)) ** 2 - 0.8)
    return beta, float(i0(beta))


def _weights(oversampling: float) -> np.ndarray:
    """(2, 2, degree + 1) float32: of the outer and the inner two nodes, even and odd part of the
    weight as polynomials in the square of the distance from the middle between the nodes.
    """
    beta, height = _kernel(oversampling)
    angles = np.pi * (np.arange(64) + 0.5) / 64
    f = 0.5 * np.cos(angles)
    weights = np.empty((2, 2, _DEGREE + 1), np.float32)
    for row, nearest in enumerate((1.5, 0.5)):
        value = i0(beta * np.sqrt(1 - ((nearest + f) / 2) ** 2)) / height
        fitted = polynomial.polyfit(f, value, 2 * _DEGREE + 1)
        weights[row] = fitted[0::2], fitted[1::2]
    return weights


def _attenuation(box_size_px: int, size: int) -> np.ndarray:
    """(D,) float64: what the kernel does to a map along an axis, about D // 2: its transform."""
    beta, height = _kernel(size / box_size_px)
    u = (np.arange(box_size_px) - centre(box_size_px)) / size
    root = np.sqrt(beta**2 - (math.pi * _NODES * u) ** 2)
    return _NODES * np.sinh(root) / (height * root)


def _table(volume: np.ndarray, size: int) -> np.ndarray:
    """(S + 4, S + 4, S // 2 + 4) complex64 [kz, ky, kx], from one below -S / 2 and 0.

    Axis by axis in the place of the result, so that nothing else of its size is ever made.
    """
    box, origin, half = len(volume), centre(len(volume)), size // 2
    own, inner = slice(1, 1 + size), slice(1, half + 2)
    along = 1.0 / _attenuation(box, size)
    # The sign begins kz and ky at -S / 2.
    signed = along * np.where((np.arange(box) - origin) % 2, -1.0, 1.0)
    table = np.zeros((size + _NODES, size + _NODES, half + _NODES), np.complex64)

    for plane in range(box):
        factor = signed[plane] * signed[:, None] * along
        data = padded_about_first(volume[plane] * factor, size, 1, np.float32)
        rows = padded_about_first(scipy.fft.rfft(data, axis=1), size, 0)
        table[1 + (plane - origin) % size, own, inner] = scipy.fft.fft(rows, axis=0)
    for y in range(1, 1 + size, _LINES_AT_ONCE):
        lines = table[own, y : min(y + _LINES_AT_ONCE, 1 + size), inner]
        lines[:] = scipy.fft.fft(lines, axis=0)

    # Beyond its edges the transform repeats itself, and V(q) = conj(V(-q)).
    for lines in (table, np.moveaxis(table, 1, 0)):
        lines[0], lines[size + 1 :] = lines[size], lines[1:4]
    opposite = (size + 1 - np.arange(size + _NODES)) % size + 1
    for beyond, column in ((0, 2), (half + 2, half), (half + 3, half - 1)):
        table[:, :, beyond] = table[:, :, column][np.ix_(opposite, opposite)].conj()
    return table


@inlined
def _locate(
    s: np.ndarray,
    node: np.ndarray,
    n: int,
    k: np.ndarray,
    first: int,
    a: np.ndarray,
    scale: np.float32,
    grid: np.ndarray,
) -> None:
    """Fill the rows of side and distances, and the first of the nodes around each point.

    Parameters
    ----------
    s, node : of the block.
    n : number of its points.
    k : (2, P) frequencies.
    first : of the block's points among these.
    a : (3, 3) rotation.
    scale : nodes of the grid per cycle per box.
    grid : half of the grid's edge, nodes of a line, nodes of a plane.
    """
    a00, a01, a02 = scale * a[0, 0], scale * a[0, 1], scale * a[0, 2]
    a10, a11, a12 = scale * a[1, 0], scale * a[1, 1], scale * a[1, 2]
    half, line, plane = np.float32(grid[0]), np.int32(grid[1]), np.int32(grid[2])
    for q in range(_u(n)):
        kx, ky = k[0, _u(first) + q], k[1, _u(first) + q]
        x, y, z = a00 * kx + a10 * ky, a01 * kx + a11 * ky, a02 * kx + a12 * ky
        x, y, z, side = on_stored_side(x, y, z)
        x0, y0, z0 = np.floor(x), np.floor(y), np.floor(z)
        middle = np.float32(0.5)
        s[_SIDE + q] = side
        s[_FX + q], s[_FY + q], s[_FZ + q] = x - x0 - middle, y - y0 - middle, z - z0 - middle
        node[q] = np.int32(z0 + half) * plane + np.int32(y0 + half) * line + np.int32(x0)


@inlined
def _weigh(s: np.ndarray, n: int, weights: np.ndarray) -> None:
    """Fill the rows of the weights of the four nodes along x, y and z."""
    for axis in range(_u(3)):
        for pair in range(_u(2)):
            near = _WX + (_u(4) * axis + pair) * _u(_BLOCK)
            far = _WX + (_u(4) * axis + _u(3) - pair) * _u(_BLOCK)
            e0, e1, e2, e3 = weights[pair, 0]
            o0, o1, o2, o3 = weights[pair, 1]
            for q in range(_u(n)):
                f = s[_FX + axis * _u(_BLOCK) + q]
                t = f * f
                even = e0 + t * (e1 + t * (e2 + t * e3))
                odd = f * (o0 + t * (o1 + t * (o2 + t * o3)))
                s[near + q], s[far + q] = even + odd, even - odd


@inlined
def _of_axis(s: np.ndarray, place: np.uint64) -> Tuple:
    """The four weights along an axis, of the point at a place in the first of their rows."""
    second, third, fourth = _u(_BLOCK), _u(2 * _BLOCK), _u(3 * _BLOCK)
    return s[place], s[place + second], s[place + third], s[place + fourth]


@compiled
def _slices(
    table: np.ndarray,
    grid: np.ndarray,
    weights: np.ndarray,
    scale: np.float32,
    k: np.ndarray,
    rotations: np.ndarray,
    out: np.ndarray,
) -> None:
    """Slices at B rotations, (B, 2 P): real and imaginary parts in turn.

    Parameters
    ----------
    table, grid, weights, scale, k : of the volume and of the points, see above.
    rotations : (B, 3, 3).
    out : is filled.
    """
    s, node = np.zeros(_SCRATCH, np.float32), np.empty(_BLOCK, np.int32)
    line, plane = _u(2 * grid[1]), _u(2 * grid[2])
    number = k.shape[1]
    for pose in range(len(rotations)):
        for first in range(0, number, _BLOCK):
            n = min(_BLOCK, number - first)
            _locate(s, node, n, k, first, rotations[pose], scale, grid)
            _weigh(s, n, weights)

            for q in range(_u(n)):
                wx, wy, wz = _of_axis(s, _WX + q), _of_axis(s, _WY + q), _of_axis(s, _WZ + q)
                real, imaginary = sum_of_nodes(table, _u(2) * _u(node[q]), line, plane, wx, wy, wz)
                place = _u(2) * (_u(first) + q)
                out[pose, place], out[pose, place + _u(1)] = real, s[_SIDE + q] * imaginary
