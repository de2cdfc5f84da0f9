"""Masks of volumes."""

from __future__ import annotations

import numpy as np


def soft_sphere(box_size_px: int, radius_px: float, edge_px: float = 5.0) -> np.ndarray:
    """(D, D, D) float32: 1 within the radius, a cosine edge of `edge_px` beyond it, then 0."""
    position = np.arange(box_size_px) - box_size_px // 2
    squared = (position**2).astype(np.float32)
    radius = np.sqrt(squared[:, None, None] + squared[:, None] + squared)
    return (0.5 + 0.5 * np.cos(np.pi * np.clip((radius - radius_px) / edge_px, 0, 1))).astype(
        np.float32
    )
