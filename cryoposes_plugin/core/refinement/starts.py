"""Poses to start a refinement from."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from .levenberg_marquardt import Poses


class GivenStarts:
    """The poses that particles have, alone or with others around them.

    Parameters
    ----------
    rotations (N, 3, 3), shifts_px (N, 2) in pixels of the working grid.
    around : (S, 3, 3) turns in the image's frame, applied to each rotation; default: the identity alone.
    """

    def __init__(
        self, rotations: np.ndarray, shifts_px: np.ndarray, around: Optional[np.ndarray] = None
    ):
        self.rotations, self.shifts_px = rotations, shifts_px
        self.around = np.eye(3)[None] if around is None else around

    def __call__(self, rows: np.ndarray) -> Poses:
        number = len(self.around)
        particle = np.repeat(np.arange(len(rows)), number)
        own = rows[particle]
        rotations = np.tile(self.around, (len(rows), 1, 1)) @ self.rotations[own]
        shifts = self.shifts_px[own]
        return Poses(
            particle,
            rotations,
            shifts,
            anchor_rotations=self.rotations[own],
            anchor_shifts_px=shifts,
        )


def turns_around(angle_deg: float, number: int) -> np.ndarray:
    """(number + 1, 3, 3) rotations: the identity, and turns evenly spread in the ball of this radius.

    Axes on a Fibonacci spiral, angles so that each shell of the ball gets its share.
    """
    index = np.arange(number) + 0.5
    z, azimuth = 1 - 2 * index / number, np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(np.clip(1 - z * z, 0, None))
    axes = np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), z], axis=1)
    # Golden-ratio steps decouple the angle from the place on the spiral.
    share = (index * 0.6180339887498949) % 1.0
    vectors = np.deg2rad(angle_deg) * np.cbrt(share)[:, None] * axes
    return np.concatenate([np.eye(3)[None], Rotation.from_rotvec(vectors).as_matrix()])


class CombinedStarts:
    """The starts of several sources together."""

    def __init__(self, sources: Sequence):
        self.sources = list(sources)

    def __call__(self, rows: np.ndarray) -> Poses:
        parts = [source(rows) for source in self.sources]
        on_grid = [np.full(len(p), -1) if p.on_grid is None else p.on_grid for p in parts]
        particle, rotations, shifts_px = (
            np.concatenate([getattr(p, name) for p in parts])
            for name in ("particle", "rotations", "shifts_px")
        )
        return Poses(particle, rotations, shifts_px, on_grid=np.concatenate(on_grid))
