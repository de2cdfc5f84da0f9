"""Sums at the nodes of one half of a ball of Fourier space: samples are spread over them, and a
point group is imposed on them (Numba).

The nodes lie at x >= 0, in lines along x that are as long as the ball is wide. Each has three
numbers side by side: real part, imaginary part, weight.
"""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np

from ..compiled import compiled, inlined
from ..fourier.half_space import on_stored_side

_u = np.uint64
#: Samples whose nodes are in the cache together.
_BLOCK = 128
#: A sample reaches nodes that are this far from it.
_REACH = math.sqrt(3)


def line_starts(radius: float) -> Tuple[np.ndarray, int]:
    """The first node of every line of a half ball, (side, side) int64 [z, y], and how many nodes
    there are.

    z = y = 0 is in the middle. Samples within the radius, in nodes, have all their eight nodes.
    """
    reach = radius + _REACH
    edge = math.ceil(reach)
    squared = np.arange(-edge, edge + 1) ** 2
    inside = reach**2 - squared[:, None] - squared
    lengths = np.where(inside >= 0, np.sqrt(np.maximum(inside, 0)).astype(np.int64) + 1, 0)
    ends = np.cumsum(lengths.ravel())
    return (ends - lengths.ravel()).reshape(lengths.shape), int(ends[-1])


@compiled
def spread(
    sums: np.ndarray,
    starts: np.ndarray,
    plane: np.ndarray,
    density: np.ndarray,
    axes: np.ndarray,
    numerator: np.ndarray,
    weight: np.ndarray,
) -> np.float32:
    """Add samples to the eight nodes around each, with trilinear weights.

    Of a sample and its Friedel mate, the one at x >= 0 is added. The nodes of a block of samples
    are read once before they are added to: these loads do not wait for each other, and bring the
    nodes into the cache. What was read is returned, so that it is not left out.

    Parameters
    ----------
    sums : (nodes, 3) float32, is added to.
    starts : (side, side) int64, see `line_starts`.
    plane : (2, P) float32 kx and ky of the samples.
    density : (P,) float32, a factor of every sample.
    axes : (B, 2, 3) float32, x and y of the images in the volume's frame, in nodes.
    numerator, weight : (B, P) complex64 and float32.
    """
    flat, lines, edge = sums.reshape(-1), starts.reshape(-1), starts.shape[1]
    middle = np.int32(edge // 2)
    node = np.empty((4, _BLOCK), np.uint64)
    line, column = np.empty((2, _BLOCK), np.int32)
    side, fx, fy, fz = np.empty((4, _BLOCK), np.float32)
    one, read = np.float32(1.0), np.float32(0.0)
    number = plane.shape[1]

    for image in range(_u(len(axes))):
        a, b = axes[image]
        for first in range(0, number, _BLOCK):
            n = _u(min(_BLOCK, number - first))
            for q in range(n):
                kx, ky = plane[0, _u(first) + q], plane[1, _u(first) + q]
                x, y, z = a[0] * kx + b[0] * ky, a[1] * kx + b[1] * ky, a[2] * kx + b[2] * ky
                x, y, z, side[q] = on_stored_side(x, y, z)
                x0, y0, z0 = np.floor(x), np.floor(y), np.floor(z)
                fx[q], fy[q], fz[q] = x - x0, y - y0, z - z0
                line[q] = (np.int32(z0) + middle) * np.int32(edge) + np.int32(y0) + middle
                column[q] = np.int32(x0)
            for q in range(n):
                for corner in range(4):
                    at = _u(line[q]) + _u((corner // 2) * edge + corner % 2)
                    node[corner, q] = _u(3) * (_u(lines[at]) + _u(column[q]))
            for q in range(n):
                for corner in range(4):
                    read += flat[node[corner, q]]

            for q in range(n):
                factor = density[_u(first) + q]
                value = numerator[image, _u(first) + q]
                real, imaginary = factor * value.real, factor * side[q] * value.imag
                w = factor * weight[image, _u(first) + q]
                for corner in range(4):
                    outer = fz[q] if corner // 2 else one - fz[q]
                    outer *= fy[q] if corner % 2 else one - fy[q]
                    upper = outer * fx[q]
                    lower = outer - upper
                    at = node[corner, q]
                    flat[at] += lower * real
                    flat[at + _u(1)] += lower * imaginary
                    flat[at + _u(2)] += lower * w
                    flat[at + _u(3)] += upper * real
                    flat[at + _u(4)] += upper * imaginary
                    flat[at + _u(5)] += upper * w
    return read


@inlined
def _kept(x: int, y: int, z: int) -> bool:
    """Whether a node stands for itself and its mate; of the plane x = 0 one half does."""
    return x > 0 or (x == 0 and (z > 0 or (z == 0 and y >= 0)))


@compiled
def make_hermitian(sums: np.ndarray, starts: np.ndarray) -> None:
    """Add the mates of the nodes at x = 0, which lie there too."""
    middle = starts.shape[0] // 2
    ends = starts.ravel()

    for z in range(middle + 1):
        for y in range(-middle if z > 0 else 0, middle + 1):
            line = (z + middle) * starts.shape[1] + y + middle
            end = ends[line + 1] if line + 1 < len(ends) else len(sums)
            if end == ends[line]:
                continue
            a, b = starts[middle + z, middle + y], starts[middle - z, middle - y]
            real, imaginary = sums[a, 0] + sums[b, 0], sums[a, 1] - sums[b, 1]
            weight = sums[a, 2] + sums[b, 2]
            sums[a, 0], sums[a, 1], sums[a, 2] = real, imaginary, weight
            sums[b, 0], sums[b, 1], sums[b, 2] = real, -imaginary, weight


@compiled
def symmetrise(sums: np.ndarray, starts: np.ndarray, group: np.ndarray, radius: int) -> None:
    """Sum f(h k) over a group of signed permutations, in place, at the nodes |k| < radius.

    Nodes that the group takes into each other get one sum. The first of them has it computed.

    Parameters
    ----------
    sums, starts : see `spread`; Hermitian.
    group : (h, 3, 3) int64 acting on (x, y, z), the identity first.
    radius : in nodes.
    """
    middle = starts.shape[0] // 2
    place, mirror = np.empty(len(group), np.int64), np.empty(len(group), np.int64)
    side = np.empty(len(group), np.float32)
    for z in range(-radius + 1, radius):
        for y in range(-radius + 1, radius):
            for x in range(radius):
                if x * x + y * y + z * z >= radius * radius or not _kept(x, y, z):
                    continue
                real = imaginary = weight = np.float32(0.0)
                own, first = starts[middle + z, middle + y] + x, True
                for i in range(len(group)):
                    h = group[i]
                    tx = h[0, 0] * x + h[0, 1] * y + h[0, 2] * z
                    ty = h[1, 0] * x + h[1, 1] * y + h[1, 2] * z
                    tz = h[2, 0] * x + h[2, 1] * y + h[2, 2] * z
                    side[i] = 1.0 if _kept(tx, ty, tz) else -1.0
                    if not _kept(tx, ty, tz):
                        tx, ty, tz = -tx, -ty, -tz
                    at = starts[middle + tz, middle + ty] + tx
                    if at < own:
                        first = False
                        break
                    place[i] = at
                    mirror[i] = starts[middle - tz, middle - ty] if tx == 0 else -1
                    real += sums[at, 0]
                    imaginary += side[i] * sums[at, 1]
                    weight += sums[at, 2]
                if not first:
                    continue

                for i in range(len(group)):
                    at = place[i]
                    sums[at, 0], sums[at, 1], sums[at, 2] = real, side[i] * imaginary, weight
                    at = mirror[i]
                    if at >= 0:
                        sums[at, 0], sums[at, 1], sums[at, 2] = real, -side[i] * imaginary, weight


@compiled
def shell_weights(
    sums: np.ndarray, starts: np.ndarray, radius: int, nodes_per_shell: int
) -> np.ndarray:
    """(S, 2) float64: sum of the weights at |k| < radius and number of nodes, by shell.

    Parameters
    ----------
    sums, starts : see `spread`.
    radius : in nodes.
    nodes_per_shell : width of a shell.
    """
    middle = starts.shape[0] // 2

    out = np.zeros((radius // nodes_per_shell + 2, 2))
    for z in range(-radius + 1, radius):
        for y in range(-radius + 1, radius):
            start = starts[middle + z, middle + y]
            for x in range(radius):
                squared = x * x + y * y + z * z
                if squared >= radius * radius:
                    break
                shell = np.int64(np.rint(math.sqrt(squared) / nodes_per_shell))
                out[shell, 0] += sums[start + x, 2]
                out[shell, 1] += 1
    return out


@compiled
def estimate(
    sums: np.ndarray,
    starts: np.ndarray,
    radius: int,
    y: int,
    first: int,
    terms: np.ndarray,
    scale: float,
    nodes_per_shell: int,
    out: np.ndarray,
) -> None:
    """Fill some columns of the plane at y with numerator / ((weight + term) / scale).

    Parameters
    ----------
    sums, starts : see `spread`.
    radius : in nodes; from it on there are zeros.
    y : of the plane.
    first : of the columns.
    terms : (S,) float32, added to the weights of each shell.
    scale : see above.
    nodes_per_shell : width of a shell.
    out : (Z, X) complex64 [z, x], z in the order of `fft`, x from the first column on.
    """
    middle = starts.shape[0] // 2
    size = len(out)

    out[:] = 0
    for z in range(-radius + 1, radius):
        start = starts[middle + z, middle + y]
        row = z % size
        for x in range(first, first + out.shape[1]):
            squared = x * x + y * y + z * z
            if squared >= radius * radius:
                break
            shell = np.int64(np.rint(math.sqrt(squared) / nodes_per_shell))
            weight = sums[start + x, 2] + terms[shell]
            if weight > 0:
                factor = np.float32(scale) / weight
                out[row, x - first] = complex(
                    sums[start + x, 0] * factor, sums[start + x, 1] * factor
                )
