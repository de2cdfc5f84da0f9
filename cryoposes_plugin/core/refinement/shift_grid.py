"""Shifts that are tried at each orientation."""

from __future__ import annotations

import numpy as np

#: Step of the grid, in shares of the shortest wave that is looked at.
SHIFT_STEP = 0.22


def scan_shifts(max_shift_px: float, box_size_px: int, radius: float) -> np.ndarray:
    """(S, 2) shifts within the circle, close enough for frequencies up to a radius in cycles per box."""
    return shift_grid(max_shift_px, SHIFT_STEP * box_size_px / radius)


def shift_grid(max_shift_px: float, step_px: float) -> np.ndarray:
    """(S, 2) shifts on a square grid within the circle, nearest the centre first."""
    reach = int(max_shift_px / step_px)
    axis = step_px * np.arange(-reach, reach + 1)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    length = np.linalg.norm(grid, axis=1)
    order = np.argsort(length, kind="stable")
    return grid[order][length[order] <= max_shift_px + 1e-9]
