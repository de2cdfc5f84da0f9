"""Maps on padded Fourier grids, for trilinear interpolation between the nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

from ..conventions import centre


def interpolation_kernel(box_size_px: int, grid_size: int) -> np.ndarray:
    """(D, D, D) float64: the factor by which trilinear interpolation attenuates a map, about D //
    2.

    The transform of the triangle of one node's width along each axis: sinc^2(x / grid size).
    """
    along = kernel_along_axis(box_size_px, grid_size)
    return along[:, None, None] * along[:, None] * along


def kernel_along_axis(box_size_px: int, grid_size: int) -> np.ndarray:
    """(D,) float64: the same along one axis."""
    return np.sinc((np.arange(box_size_px) - centre(box_size_px)) / grid_size) ** 2


def padded_for_interpolation(data: np.ndarray, grid_size: int) -> np.ndarray:
    """A map (D, D, D), divided by the kernel's transform, in a box of S voxels with its origin
    first.

    (S, S, S) float32 for a grid of `grid_size` S: its transform has phases about voxel D // 2 of
    the map.
    """
    box = data.shape[0]
    padded = np.zeros((grid_size,) * 3, np.float32)
    start = grid_size // 2 - centre(box)
    where = slice(start, start + box)
    padded[where, where, where] = data / interpolation_kernel(box, grid_size)
    return scipy.fft.ifftshift(padded)


def padded_about_first(values: np.ndarray, size: int, axis: int, dtype: Any = None) -> np.ndarray:
    """An array filled up with zeros to `size` along an axis, its origin D // 2 moved to the first
    place.

    Parameters
    ----------
    values : any shape.
    size : of the result along the axis.
    axis : whose middle is the origin.
    dtype : of the result; default: that of the values.
    """
    shape, box = list(values.shape), values.shape[axis]
    origin, shape[axis] = centre(box), size
    padded = np.zeros(shape, dtype or values.dtype)
    source, target = np.moveaxis(values, axis, 0), np.moveaxis(padded, axis, 0)
    target[: box - origin], target[size - origin :] = source[origin:], source[:origin]
    return padded
