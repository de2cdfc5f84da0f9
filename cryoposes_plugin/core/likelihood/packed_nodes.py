"""The transform of a map at kx >= 0 on a padded grid, packed: half precision, and nodes that are near
each other near each other in memory.

A node is one number of 32 bits: the real part's half in the upper 16, the imaginary part's in the
lower ones. Bricks of 2 x 2 x 4 nodes (z, y, x) fill one line of a cache each, so that the eight nodes
about a point lie in 2.8 lines on average. Of each layer of bricks only the square about the circle
that the largest frequency cuts out of it is kept, two thirds of all nodes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.fft

from ..compiled import compiled, inlined
from ..fourier.gridding import kernel_along_axis, padded_about_first

#: The largest number that a part may have, and the factor by which exponents of halves are smaller
#: than those of floats.
_LARGEST = 6e4
_REBIAS, _UNBIAS = np.float32(2.0**-112), np.float32(2.0**112)
_SIGN, _REST = np.uint32(0x80000000), np.uint32(0x0FFFE000)
#: Nodes along x that are transformed at once: whole bricks.
_AT_ONCE = 8
_u = np.uint32


class Layers(NamedTuple):
    """Where the nodes of each layer of bricks are, (S / 2 + 1,) int32 each.

    A node (z, y, x), counted from the grid's corner at (-S / 2, -S / 2, 0), is at `start[z >> 1] +
    (y >> 1) * step[z >> 1]`, further by 8 if z is odd, by 4 if y is odd, and by `16 (x >> 2) + (x &
    3)`. There are rows of bricks for `low <= y >> 1 <= high`.
    """

    start: np.ndarray
    step: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def number(self) -> int:
        """Of all nodes."""
        return int(((self.high - self.low + 1).astype(np.int64) * self.step).sum())


class PackedNodes(NamedTuple):
    """table : (N,) uint32. layers : of it. unit : by which what is unpacked is multiplied."""

    table: np.ndarray
    layers: Layers
    unit: np.float32


def layers_of(size: int) -> Layers:
    """The layers of a grid of `size` S, even."""
    half = size // 2
    first = 2 * np.arange(half + 1) - half
    # Points whose neighbours are in a layer lie less than a node beyond it.
    nearest = np.maximum(np.maximum(first - 1, -first - 2), 0)
    reach = np.minimum(np.sqrt(np.maximum(half**2 - nearest**2, 0)).astype(np.int64) + 1, half)
    low, high = (half - reach) >> 1, (half + reach) >> 1
    step = 16 * ((reach >> 2) + 1)
    nodes = (high - low + 1) * step
    start = np.cumsum(nodes) - nodes - low * step
    return Layers(*(values.astype(np.int32) for values in (start, step, low, high)))


def packed_nodes(volume: np.ndarray, size: int, layers: Layers) -> PackedNodes:
    """The packed transform of a map, corrected for trilinear interpolation.

    Some planes of kx are made at a time, so that nothing else is as large as the map.

    Parameters
    ----------
    volume : (D, D, D) float32 [z, y, x], origin at D // 2, D even.
    size : S of the grid, even.
    layers : of it.
    """
    box, origin = len(volume), len(volume) // 2
    sign = np.where((np.arange(box) - origin) % 2, -1.0, 1.0)  # begins kz and ky at -S / 2
    along = 1.0 / kernel_along_axis(box, size)
    total = sum(wz * float(along @ np.abs(plane) @ along) for wz, plane in zip(along, volume))
    unit = np.float32(total / _LARGEST or 1.0)
    signed = (sign * along).astype(np.float32)
    outer = signed[:, None] * signed[:, None, None]

    table = np.empty(layers.number, np.uint32)
    angle = -2 * np.pi / size * (np.arange(box) - origin)
    for first in range(0, size // 2 + 1, _AT_ONCE):
        waves = np.exp(1j * angle[:, None] * np.arange(first, first + _AT_ONCE))
        waves *= along[:, None] / unit
        lines = volume.reshape(box * box, box) @ waves.astype(np.complex64).view(np.float32)
        lines = lines.view(np.complex64).reshape(box, box, _AT_ONCE) * outer
        planes = _padded_transform(lines, size, 1)
        _pack(_padded_transform(planes, size, 0), first, *layers, table)
    return PackedNodes(table, layers, unit)


def _padded_transform(values: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Transform along an axis, whose middle is the origin, padded to `size`."""
    padded = padded_about_first(values, size, axis)
    return scipy.fft.fft(padded, axis=axis, overwrite_x=True)


@inlined
def real_part(node: np.uint32) -> np.float32:
    """Of a packed node."""
    return _u(((node >> _u(3)) & _REST) | (node & _SIGN)).view(np.float32) * _UNBIAS


@inlined
def imaginary_part(node: np.uint32) -> np.float32:
    """Of a packed node."""
    return _u(((node << _u(13)) & _REST) | ((node << _u(16)) & _SIGN)).view(np.float32) * _UNBIAS


@inlined
def _half(value: np.float32) -> np.uint32:
    """The 16 bits of the nearest half."""
    bits = _u(np.float32(value * _REBIAS).view(np.uint32))
    return _u(((bits >> _u(16)) & _u(0x8000)) | (((bits & _u(0x7FFFFFFF)) + _u(0x1000)) >> _u(13)))


@compiled
def _pack(
    transform: np.ndarray,
    first: int,
    start: np.ndarray,
    step: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    table: np.ndarray,
) -> None:
    """Put planes of kx, a whole number of bricks, into the table.

    Parameters
    ----------
    transform : (S, S, _AT_ONCE) complex64.
    first : kx of the first plane.
    start, step, low, high : see `Layers`.
    table : is filled.
    """
    size = len(transform)
    for layer in range(len(start)):
        width = min(_AT_ONCE, step[layer] // 4 - first)
        for z in range(2 * layer, 2 * layer + 2):
            for y in range(2 * low[layer], 2 * high[layer] + 2):
                line = start[layer] + (y >> 1) * step[layer] + 8 * (z & 1) + 4 * (y & 1)
                for x in range(width):
                    value = transform[z % size, y % size, x]
                    node = (_half(value.real) << _u(16)) | _half(value.imag)
                    table[line + 16 * ((first + x) >> 2) + (x & 3)] = node
