"""Soft masks and edges, about pixel or voxel D // 2."""

from __future__ import annotations

import numpy as np


def squared_radius(box_size_px: int, dimensions: int) -> np.ndarray:
    """(D,) * n int64: squared distance of every pixel or voxel from index D // 2, in pixels^2."""
    squared = (np.arange(box_size_px) - box_size_px // 2) ** 2
    axes = np.ix_(*[squared] * dimensions)
    return sum(axes[1:], axes[0])


def falling_edge(position: np.ndarray) -> np.ndarray:
    """Half a period of a cosine: 1 up to position 0, 0 from position 1 on."""
    return 0.5 + 0.5 * np.cos(np.pi * np.clip(position, 0, 1))


def rising_edge(position: np.ndarray) -> np.ndarray:
    """Half a period of a cosine: 0 up to position 0, 1 from position 1 on."""
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(position, 0, 1))


def soft_sphere(box_size_px: int, radius_px: float, edge_px: float = 5.0) -> np.ndarray:
    """(D, D, D) float32: 1 within the radius, a cosine edge of `edge_px` beyond it, then 0."""
    radius = np.sqrt(squared_radius(box_size_px, 3).astype(np.float32))
    return falling_edge((radius - radius_px) / edge_px).astype(np.float32)


def soft_circle(box_size_px: int, outer_radius_px: float, edge_px: float) -> np.ndarray:
    """(D, D) float32: 1 inside, a cosine edge of `edge_px` that ends at the outer radius, then 0."""
    radius = np.sqrt(squared_radius(box_size_px, 2))
    return rising_edge((outer_radius_px - radius) / edge_px).astype(np.float32)


def circular_mask(box_size_px: int, radius_px: float) -> np.ndarray:
    """(D, D) bool, true within this radius."""
    return squared_radius(box_size_px, 2) <= radius_px**2
