"""The grid of rotations Rz(bin) V_view over which the polar network is a classifier, and the bumps
it learns from.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np


def bin_angles_rad(bins: int) -> np.ndarray:
    """(bins,) float64, counter-clockwise in (x, y), from 0."""
    return 2 * np.pi * np.arange(bins) / bins


def turns_about_z(bins: int) -> np.ndarray:
    """(bins, 3, 3) float32 rotations Rz of every angle bin."""
    theta = bin_angles_rad(bins)
    turns = np.zeros((bins, 3, 3), dtype=np.float32)
    turns[:, 0, 0] = turns[:, 1, 1] = np.cos(theta)
    turns[:, 1, 0], turns[:, 0, 1], turns[:, 2, 2] = np.sin(theta), -np.sin(theta), 1.0
    return turns


def grid_views(views: int) -> np.ndarray:
    """(views, 3, 3) float32 rotations: viewing directions spread evenly (a Fibonacci spiral),
    in-plane angles fixed.
    """
    index = np.arange(views) + 0.5
    tilt, azimuth = np.arccos(1 - 2 * index / views), np.pi * (1 + 5**0.5) * index
    beam = np.stack(
        [np.cos(azimuth) * np.sin(tilt), np.sin(azimuth) * np.sin(tilt), np.cos(tilt)], axis=1
    )
    helper = np.where(np.abs(beam[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    x = np.cross(helper, beam)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.stack([x, np.cross(beam, x), beam], axis=1).astype(np.float32)


def grid_rotations(bins: int, views: int) -> np.ndarray:
    """(bins * views, 3, 3) float32 rotations Rz(bin) V_view, bin first."""
    grid = np.einsum("kij,vjl->kvil", turns_about_z(bins), grid_views(views))
    return grid.reshape(-1, 3, 3).astype(np.float32)


def bump_moments(concentration: float) -> Tuple[float, float]:
    """How a bump p(R) ~ exp(concentration tr(R^T A)) on SO(3) shrinks what is averaged over it.

    (r, s): the mean of R is r A; the mean of q q^T is s a a^T + (1 - s) / 4 I, with a the
    quaternion of A.
    """
    angle = np.linspace(0, np.pi, 20001)
    weight = (1 - np.cos(angle)) * np.exp(2 * concentration * (np.cos(angle) - 1))
    weight /= weight.sum()
    return float((weight * (1 + 2 * np.cos(angle)) / 3).sum()), float(
        (weight * (4 * np.cos(angle / 2) ** 2 - 1) / 3).sum()
    )
