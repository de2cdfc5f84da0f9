"""Fourier shell correlation of two half maps along directions: in double cones, and the ratio of
the worst to the best of them, cFAR.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import fft

from ..errors import InputError
from ..fourier.shells import multiplicity, shell_planes, whole_frequencies
from ..geometry.sampling import half_sphere

#: Below it a map is usually said to suffer from preferred views.
CFAR_LIMIT = 0.5
AXES, HALF_ANGLE_DEG, THRESHOLD = 256, 20.0, 0.143
#: A shell in which some cone has fewer Fourier voxels, mates included, is left out of all cones.
_FEWEST_VOXELS = 8
_VOXELS_PER_CHUNK = 2**15


class ConicalFsc(NamedTuple):
    """FSC along directions.

    ratio : cFAR, smallest area over largest; 0 if no cone has any.
    axes : (K, 3) unit vectors (x, y, z) on the half sphere, each for itself and its opposite.
    curves : (K, D // 2 + 1) FSC in each double cone by shell; NaN where a shell has few
        voxels.
    areas : (K,) sums of shell^2 FSC up to the first shell at or below the threshold.
    """

    ratio: float
    axes: np.ndarray
    curves: np.ndarray
    areas: np.ndarray


def fsc_in_cones(
    half1: np.ndarray,
    half2: np.ndarray,
    number_of_axes: int = AXES,
    half_angle_deg: float = HALF_ANGLE_DEG,
) -> ConicalFsc:
    """FSC of two half maps (D, D, D) in double cones, and cFAR.

    The area under the FSC of a cone counts the Fourier voxels up to its resolution: sum of shell^2
    FSC before the first shell at or below 0.143. cFAR, the conical FSC area ratio, is the smallest
    area divided by the largest: 1 for a map that is equally good in all directions. Written after
    the open definition in SIMPLE's fsc_area_score; CryoSPARC's cFAR is meant by it.

    Parameters
    ----------
    half1, half2 : (D, D, D), masked, indexed [z, y, x].
    number_of_axes : of cones over the half sphere.
    half_angle_deg : between the axis of a cone and its surface.
    """
    if half1.shape != half2.shape:
        raise InputError(
            f"The half maps have {half1.shape[0]} and {half2.shape[0]} voxels along each side; "
            "give two half maps of one reconstruction."
        )
    box = half1.shape[0]
    axes = half_sphere(number_of_axes)
    sums = _sums_in_cones(fft.rfftn(half1), fft.rfftn(half2), axes, half_angle_deg)
    cross, power, voxels = sums[0], np.sqrt(sums[1] * sums[2]), sums[3]
    curves = np.divide(cross, power, out=np.zeros_like(cross), where=power > 0)
    curves[:, voxels.min(axis=0) < _FEWEST_VOXELS] = np.nan

    beyond = np.logical_or.accumulate(curves[:, 1:] <= THRESHOLD, axis=1)
    counted = np.where(beyond | np.isnan(curves[:, 1:]), 0.0, curves[:, 1:])
    areas = counted @ (np.arange(1, box // 2 + 1, dtype=np.float64) ** 2)
    largest = float(areas.max())
    return ConicalFsc(float(areas.min()) / largest if largest > 0 else 0.0, axes, curves, areas)


def _sums_in_cones(
    first: np.ndarray, second: np.ndarray, axes: np.ndarray, half_angle_deg: float
) -> np.ndarray:
    """(4, K, D // 2 + 1): cross term, both powers, and number of voxels, by cone and shell.

    Parameters
    ----------
    first, second : transforms of the half maps by `rfftn`.
    axes : (K, 3).
    half_angle_deg : of the cones.
    """
    box = first.shape[0]
    shells = np.concatenate([plane.ravel().astype(np.int16) for plane in shell_planes(box)])
    order = np.argsort(shells, kind="stable")
    ends = np.r_[0, np.cumsum(np.bincount(shells))]
    frequency = whole_frequencies(box)
    columns = np.arange(box // 2 + 1)
    count = multiplicity(box)
    least = np.float32(np.cos(np.deg2rad(half_angle_deg)))
    sums = np.zeros((4, len(axes), box // 2 + 1))

    for shell in range(1, box // 2 + 1):
        for start in range(ends[shell], ends[shell + 1], _VOXELS_PER_CHUNK):
            chosen = order[start : min(start + _VOXELS_PER_CHUNK, ends[shell + 1])]
            z, y, x = np.unravel_index(chosen, first.shape)
            points = np.stack([columns[x], frequency[y], frequency[z]]).astype(np.float32)
            points /= np.linalg.norm(points, axis=0)
            inside = (np.abs(axes.astype(np.float32) @ points) >= least).astype(np.float32)

            a, b, weight = first.flat[chosen], second.flat[chosen], count[x]
            values = np.stack(
                [(a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2, np.ones(len(x))]
            )
            sums[:, :, shell] += (inside @ (values * weight).T.astype(np.float32)).T
    return sums
