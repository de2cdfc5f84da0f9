"""A map as one half of its Fourier transform on a padded grid, read between the nodes by trilinear
interpolation, and the inner products that the likelihood needs (Numba). See `packed_nodes` for how
the nodes are stored.

Points are worked on in blocks. The numbers of a block lie side by side in one array, a row for each
quantity: the loops over a block then become vector instructions, because all rows have known and
different places. For the same reason every index is unsigned.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Tuple

import numpy as np

from ..compiled import compiled, inlined
from ..errors import ResourceError
from ..fourier.half_space import on_stored_side
from ..imaging import padding as grids
from .arrays import ImageArrays, PoseArrays
from .packed_nodes import imaginary_part, layers_of, packed_nodes, real_part

_u = np.uint64
#: Points of a block, and rows of the block: coordinates, modulation, side of the half space,
#: fractions beyond the node below, phases along x and y; columns of the products. Real parts are
#: followed by imaginary ones.
_BLOCK = 128
_ROWS = tuple(_u(row * _BLOCK) for row in range(25))
_SCRATCH = len(_ROWS) * _BLOCK
_KX, _KY, _C, _SIDE, _FX, _FY, _FZ, _EX, _EX_IM, _EY, _EY_IM = _ROWS[:11]
_COLUMNS = _ROWS[11:]
_NEXT, _PAIR = _u(_BLOCK), _u(2 * _BLOCK)
#: Rows of places in the table: four lines along x, (z, y) as the digits of a binary number, and the
#: step to the next node of a line; and rows of the eight nodes around, (z, y, x) likewise.
_LINES, _STEP = tuple(_u(row * _BLOCK) for row in range(4)), _u(4 * _BLOCK)
_NODES = tuple(_u(row * _BLOCK) for row in range(8))
#: Columns: the derivatives by the pose (5), the model, the image.
_WIDTH = 7
_PRODUCTS = _WIDTH * (_WIDTH + 1) // 2
#: Nodes that an index of 32 bits can count.
_MOST_NODES = 2**31


class _Nodes(NamedTuple):
    """See `packed_nodes.PackedNodes` and `packed_nodes.Layers`."""

    table: np.ndarray
    start: np.ndarray
    step: np.ndarray
    unit: np.float32


class HalfVolume:
    """The transform of a volume at kx >= 0.

    The volume is divided by the interpolation kernel's transform, a sinc^2 along each axis.
    Relative error: `imaging.padding.interpolation_error`.

    Parameters
    ----------
    volume : (D, D, D) float32 [z, y, x], origin at D // 2, D even.
    padding : of the Fourier grid, see `imaging.padding.choose_padding`.
    frequencies : (P, 2) whole (kx, ky) in cycles per box, ascending in |k|.

    Raises
    ------
    ResourceError : if the grid has more nodes than can be counted.
    """

    def __init__(self, volume: np.ndarray, padding: float, frequencies: np.ndarray):
        box = len(volume)
        size = grids.padded_size(box, padding)
        layers = layers_of(size)
        if layers.number >= _MOST_NODES:
            raise ResourceError(
                f"A map of {box} px has more than {_MOST_NODES} Fourier coefficients on its padded "
                "grid; use a smaller working box."
            )
        nodes = packed_nodes(volume, size, layers)
        self._nodes = _Nodes(nodes.table, layers.start, layers.step, nodes.unit)

        self._scale = np.float32(size / box)
        self._k = np.ascontiguousarray(frequencies.T, np.float32)
        self._reach = np.abs(self._k).max(axis=0).astype(np.int64)
        np.maximum.accumulate(self._reach, out=self._reach)
        self._box_size_px = box

    @property
    def bytes(self) -> int:
        """Of the table."""
        return self._nodes.table.nbytes

    def slices(self, rotations: np.ndarray, number: int) -> np.ndarray:
        """(B, P) complex64 x(A^T k) at the first P = `number` points."""
        out = np.empty((len(rotations), number), np.complex64)
        rotations = np.ascontiguousarray(rotations, np.float32)
        k = self._k[:, :number]
        _slices(self._nodes, self._scale, k, rotations, out.view(np.float32))
        return out

    def gram(self, poses: PoseArrays, images: ImageArrays, number: int) -> np.ndarray:
        """Inner products of the model's derivatives (5), the model and the image, over the first P =
        `number` points: (B, 7, 7) float64.
        """
        out = np.empty((len(poses.particle), _WIDTH, _WIDTH))
        if number == 0 or len(poses.particle) == 0:
            out[:] = 0.0
            return out

        _gram(
            self._nodes,
            self._scale,
            self._k[:, :number],
            int(self._reach[number - 1]),
            2 * math.pi / self._box_size_px,
            np.ascontiguousarray(poses.rotations, np.float32),
            np.ascontiguousarray(poses.shifts_px, np.float64),
            np.ascontiguousarray(poses.particle, np.int64),
            *images,
            out,
        )
        return out


@inlined
def _locate(
    s: np.ndarray,
    place: np.ndarray,
    n: int,
    k: np.ndarray,
    first: int,
    a: np.ndarray,
    scale: np.float32,
    nodes: _Nodes,
) -> None:
    """Fill the rows of coordinates, side and fractions, and the places of the nodes about each point.

    Only kx >= 0 is stored: V^(q) = conj(V^(-q)).

    Parameters
    ----------
    s, place : of the block.
    n : number of its points.
    k : (2, P) frequencies.
    first : of the block's points among these.
    a : (3, 3) rotation.
    scale : nodes of the grid per cycle per box.
    nodes : of the map.
    """
    for q in range(_u(n)):
        s[_KX + q] = k[0, _u(first) + q]
        s[_KY + q] = k[1, _u(first) + q]

    a00, a01, a02 = scale * a[0, 0], scale * a[0, 1], scale * a[0, 2]
    a10, a11, a12 = scale * a[1, 0], scale * a[1, 1], scale * a[1, 2]
    half = np.float32(len(nodes.start) - 1)
    one, two, three, four = np.int32(1), np.int32(2), np.int32(3), np.int32(4)
    for q in range(_u(n)):
        kx, ky = s[_KX + q], s[_KY + q]
        x, y, z = a00 * kx + a10 * ky, a01 * kx + a11 * ky, a02 * kx + a12 * ky
        x, y, z, side = on_stored_side(x, y, z)
        x0, y0, z0 = np.floor(x), np.floor(y), np.floor(z)
        s[_SIDE + q] = side
        s[_FX + q], s[_FY + q], s[_FZ + q] = x - x0, y - y0, z - z0
        place[_LINES[0] + q] = np.int32(z0 + half)
        place[_LINES[1] + q] = np.int32(y0 + half)
        place[_STEP + q] = np.int32(x0)

    for q in range(_u(n)):
        z, y, x = place[_LINES[0] + q], place[_LINES[1] + q], place[_STEP + q]
        along_x = np.int32(16) * (x >> two) + (x & three)
        row, next_row = y >> one, (y + one) >> one
        near, far = four * (y & one) + along_x, four * ((y + one) & one) + along_x
        layer, next_layer = _u(z >> one), _u((z + one) >> one)
        here, there = np.int32(8) * (z & one), np.int32(8) * ((z + one) & one)
        here, there = here + nodes.start[layer], there + nodes.start[next_layer]
        step, next_step = nodes.step[layer], nodes.step[next_layer]
        place[_LINES[0] + q] = here + row * step + near
        place[_LINES[1] + q] = here + next_row * step + far
        place[_LINES[2] + q] = there + row * next_step + near
        place[_LINES[3] + q] = there + next_row * next_step + far
        place[_STEP + q] = np.int32(13) if (x & three) == three else one


@inlined
def _read(around: np.ndarray, place: np.ndarray, n: int, nodes: _Nodes) -> None:
    """Fill the rows of the eight nodes."""
    table = nodes.table
    for q in range(_u(n)):
        step = _u(place[_STEP + q])
        for line in range(4):
            at = _u(place[_u(line) * _NEXT + q])
            around[_u(2 * line) * _NEXT + q] = table[at]
            around[_u(2 * line + 1) * _NEXT + q] = table[at + step]


@inlined
def _between(
    s: np.ndarray,
    q: np.uint64,
    c000: np.float32,
    c001: np.float32,
    c010: np.float32,
    c011: np.float32,
    c100: np.float32,
    c101: np.float32,
    c110: np.float32,
    c111: np.float32,
) -> Tuple:
    """The interpolation between eight values (z, y, x), and its derivatives along x, y and z per
    node.

    Parameters
    ----------
    s, q : block and point.
    c000, c001, c010, c011, c100, c101, c110, c111 : the values.
    """
    fx, fy, fz = s[_FX + q], s[_FY + q], s[_FZ + q]
    d00, d01, d10, d11 = c001 - c000, c011 - c010, c101 - c100, c111 - c110
    l00, l01, l10, l11 = c000 + fx * d00, c010 + fx * d01, c100 + fx * d10, c110 + fx * d11
    y0, y1 = l01 - l00, l11 - l10
    p0, p1 = l00 + fy * y0, l10 + fy * y1
    x0, x1 = d00 + fy * (d01 - d00), d10 + fy * (d11 - d10)
    along_z = p1 - p0
    return p0 + fz * along_z, x0 + fz * (x1 - x0), y0 + fz * (y1 - y0), along_z


@inlined
def _real(s: np.ndarray, around: np.ndarray, q: np.uint64) -> Tuple:
    """`_between` of the real parts of the nodes."""
    r, c = real_part, _NODES
    return _between(
        s,
        q,
        r(around[c[0] + q]),
        r(around[c[1] + q]),
        r(around[c[2] + q]),
        r(around[c[3] + q]),
        r(around[c[4] + q]),
        r(around[c[5] + q]),
        r(around[c[6] + q]),
        r(around[c[7] + q]),
    )


@inlined
def _imaginary(s: np.ndarray, around: np.ndarray, q: np.uint64) -> Tuple:
    """`_between` of the imaginary parts of the nodes."""
    i, c = imaginary_part, _NODES
    return _between(
        s,
        q,
        i(around[c[0] + q]),
        i(around[c[1] + q]),
        i(around[c[2] + q]),
        i(around[c[3] + q]),
        i(around[c[4] + q]),
        i(around[c[5] + q]),
        i(around[c[6] + q]),
        i(around[c[7] + q]),
    )


@inlined
def _product(a: np.float32, b: np.float32, c: np.float32, d: np.float32) -> Tuple:
    """(a + i b) (c + i d)."""
    return a * c - b * d, a * d + b * c


@inlined
def _columns(
    s: np.ndarray,
    around: np.ndarray,
    n: int,
    a: np.ndarray,
    scale: np.float32,
    radians: np.float32,
    unit: np.float32,
) -> None:
    """Fill the columns of the derivatives and the model.

    By w of x(A^T exp(-[w]x) k) they are -(A grad x) . (w x k); by the shift -i k times the model.

    Parameters
    ----------
    s, around : the block, and the nodes around its points.
    n : number of its points.
    a : (3, 3) rotation.
    scale : nodes of the grid per cycle per box.
    radians : per pixel, of one cycle per box.
    unit : of the nodes.
    """
    a00, a01, a02 = scale * a[0, 0], scale * a[0, 1], scale * a[0, 2]
    a10, a11, a12 = scale * a[1, 0], scale * a[1, 1], scale * a[1, 2]
    a20, a21, a22 = scale * a[2, 0], scale * a[2, 1], scale * a[2, 2]
    c = _COLUMNS
    for q in range(_u(n)):
        kx, ky, side = s[_KX + q], s[_KY + q], s[_SIDE + q]
        value, gx, gy, gz = _real(s, around, q)
        value_im, hx, hy, hz = _imaginary(s, around, q)
        # The real part's gradient and the imaginary part's value change sign with q.
        value_im = value_im * side
        gx, gy, gz = gx * side, gy * side, gz * side

        tx, ty, tz = a00 * ky - a10 * kx, a01 * ky - a11 * kx, a02 * ky - a12 * kx
        turned, turned_im = tx * gx + ty * gy + tz * gz, tx * hx + ty * hy + tz * hz
        beam, beam_im = a20 * gx + a21 * gy + a22 * gz, a20 * hx + a21 * hy + a22 * hz

        wave, wave_im = _product(s[_EX + q], s[_EX_IM + q], s[_EY + q], s[_EY_IM + q])
        factor = unit * s[_C + q]
        wave, wave_im = factor * wave, factor * wave_im
        m, m_im = _product(value, value_im, wave, wave_im)
        beam, beam_im = _product(beam, beam_im, wave, wave_im)
        turned, turned_im = _product(turned, turned_im, wave, wave_im)

        s[c[0] + q], s[c[1] + q] = -ky * beam, -ky * beam_im
        s[c[2] + q], s[c[3] + q] = kx * beam, kx * beam_im
        s[c[4] + q], s[c[5] + q] = turned, turned_im
        s[c[6] + q], s[c[7] + q] = m_im * (radians * kx), -m * (radians * kx)
        s[c[8] + q], s[c[9] + q] = m_im * (radians * ky), -m * (radians * ky)
        s[c[10] + q], s[c[11] + q] = m, m_im


@inlined
def _add_products(s: np.ndarray, sums: np.ndarray) -> None:
    """Add the products of all pairs of columns, over whole blocks."""
    pair = 0
    for row in range(_WIDTH):
        for column in range(row + 1):
            a, b = _COLUMNS[0] + _u(row) * _PAIR, _COLUMNS[0] + _u(column) * _PAIR
            total = np.float32(0.0)
            for q in range(_PAIR):
                total += s[a + q] * s[b + q]
            sums[pair] += total
            pair += 1


@inlined
def _waves(wave: np.ndarray, shift_px: float, reach: int, step: float) -> None:
    """Fill (2, 2 reach + 1) with exp(-i step k shift) of k from -reach to reach."""
    for i in range(2 * reach + 1):
        angle = -step * (i - reach) * shift_px
        wave[0, i], wave[1, i] = math.cos(angle), math.sin(angle)


@compiled
def _gram(
    nodes: _Nodes,
    scale: np.float32,
    k: np.ndarray,
    reach: int,
    step: float,
    rotations: np.ndarray,
    shifts_px: np.ndarray,
    particle: np.ndarray,
    real: np.ndarray,
    imaginary: np.ndarray,
    modulation: np.ndarray,
    out: np.ndarray,
) -> None:
    """Inner products of B poses, (B, 7, 7).

    Parameters
    ----------
    nodes, scale, k : see `_locate`.
    reach : the largest of |kx| and |ky|.
    step : radians per pixel of one cycle per box.
    rotations, shifts_px, particle : of the poses.
    real, imaginary, modulation : of the images, (N, >= P).
    out : is filled.
    """
    s, place = np.zeros(_SCRATCH, np.float32), np.zeros(5 * _BLOCK, np.int32)
    around = np.zeros(8 * _BLOCK, np.uint32)
    wave_x, wave_y = np.empty((2, 2, 2 * reach + 1), np.float32)
    sums = np.empty(_PRODUCTS)
    number = k.shape[1]
    for pose in range(len(particle)):
        a, image = rotations[pose], _u(particle[pose])
        _waves(wave_x, shifts_px[pose, 0], reach, step)
        _waves(wave_y, shifts_px[pose, 1], reach, step)
        sums[:] = 0.0
        for first in range(0, number, _BLOCK):
            n = min(_BLOCK, number - first)
            if n < _BLOCK:
                s[np.int64(_COLUMNS[0]) :] = 0.0
            _locate(s, place, n, k, first, a, scale, nodes)
            _read(around, place, n, nodes)
            for q in range(_u(n)):
                s[_C + q] = modulation[image, _u(first) + q]
            for q in range(_u(n)):
                s[_COLUMNS[12] + q] = real[image, _u(first) + q]
            for q in range(_u(n)):
                s[_COLUMNS[13] + q] = imaginary[image, _u(first) + q]
            for q in range(_u(n)):
                x, y = _u(np.int64(s[_KX + q]) + reach), _u(np.int64(s[_KY + q]) + reach)
                s[_EX + q], s[_EX_IM + q] = wave_x[0, x], wave_x[1, x]
                s[_EY + q], s[_EY_IM + q] = wave_y[0, y], wave_y[1, y]
            _columns(s, around, n, a, scale, np.float32(step), nodes.unit)
            _add_products(s, sums)

        pair = 0
        for row in range(_WIDTH):
            for column in range(row + 1):
                out[pose, row, column] = out[pose, column, row] = sums[pair]
                pair += 1


@compiled
def _slices(
    nodes: _Nodes,
    scale: np.float32,
    k: np.ndarray,
    rotations: np.ndarray,
    out: np.ndarray,
) -> None:
    """Slices at B rotations, (B, 2 P): real and imaginary parts in turn.

    Parameters
    ----------
    nodes, scale, k : see `_locate`.
    rotations : (B, 3, 3).
    out : is filled.
    """
    s, place = np.zeros(_SCRATCH, np.float32), np.zeros(5 * _BLOCK, np.int32)
    around = np.zeros(8 * _BLOCK, np.uint32)
    number = k.shape[1]
    for pose in range(len(rotations)):
        for first in range(0, number, _BLOCK):
            n = min(_BLOCK, number - first)
            _locate(s, place, n, k, first, rotations[pose], scale, nodes)
            _read(around, place, n, nodes)
            for q in range(_u(n)):
                at = _u(2) * (_u(first) + q)
                out[pose, at] = nodes.unit * _real(s, around, q)[0]
                out[pose, at + _u(1)] = nodes.unit * _imaginary(s, around, q)[0] * s[_SIDE + q]
