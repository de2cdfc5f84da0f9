"""The shifts and frequencies of a search: grids of shifts, and stages of increasing resolution."""

from __future__ import annotations

from typing import List

import numpy as np

#: Step of the grid, as a share of the shortest wavelength in use.
SHIFT_STEP = 0.22
#: Where the phase of a point at the radius of gyration moves by one radian under this error, the
#: first stage ends.
_FIRST_ERROR_RAD = 0.06
#: Before the noise is known, only detail down to this resolution is used, and at least this many
#: shells.
_FIRST_RESOLUTION_ANGSTROM, _FEWEST_SHELLS = 20.0, 8
#: The radius of each stage is this many times that of the stage before.
MARCH = 1.6


def first_shell(field_of_view_angstrom: float, last_shell: int) -> int:
    """Up to which images and map are compared before the noise is known."""
    shells = int(field_of_view_angstrom / _FIRST_RESOLUTION_ANGSTROM)
    return min(max(_FEWEST_SHELLS, shells), last_shell)


def stage_radii(box_size_px: int, radius_px: float, last_shell: int) -> List[float]:
    """Radii in cycles per box at which the stages end; the last one is the last shell."""
    radius = max(4.0, box_size_px / (2 * np.pi * _FIRST_ERROR_RAD * max(radius_px, 1.0)))
    radii = []
    while radius * MARCH**0.5 < last_shell:
        radii.append(radius)
        radius *= MARCH
    return [*radii, float(max(last_shell, 1))]


def scan_shifts(max_shift_px: float, box_size_px: int, radius: float) -> np.ndarray:
    """(S, 2) shifts within the circle, close enough for frequencies up to a radius in cycles per
    box.
    """
    return shift_grid(max_shift_px, SHIFT_STEP * box_size_px / radius)


def shift_grid(max_shift_px: float, step_px: float) -> np.ndarray:
    """(S, 2) shifts on a square grid within the circle, nearest the centre first."""
    reach = int(max_shift_px / step_px)
    axis = step_px * np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    length = np.linalg.norm(grid, axis=1)
    order = np.argsort(length, kind="stable")
    return grid[order][length[order] <= max_shift_px + 1e-9]
