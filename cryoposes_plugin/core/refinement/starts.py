"""Poses to start a refinement from."""

from __future__ import annotations

import dataclasses
from typing import Dict, Mapping, NamedTuple, Optional, Protocol, Sequence, Tuple

import numpy as np
from scipy.spatial.transform import Rotation

from ..types import ParticleTable
from .poses import Poses


class StartingPoses(NamedTuple):
    """Poses to start from, one or more for each of N images, and scores of the images (N, ...) by
    name.
    """

    poses: Poses
    scores: Mapping[str, np.ndarray]


class Starts(Protocol):
    """Where a refinement starts.

    Attributes
    ----------
    grid : (G, 3, 3) rotations that `Poses.on_grid` counts, or None.
    score_shapes : shape of each score of an image, by name.
    """

    @property
    def grid(self) -> Optional[np.ndarray]: ...

    @property
    def score_shapes(self) -> Mapping[str, Tuple[int, ...]]: ...

    def __call__(self, rows: np.ndarray) -> StartingPoses:
        """Of rows of one optics group; `particle` counts within the rows, shifts are in pixels of
        the working grid.
        """
        ...


class GivenStarts:
    """The poses that particles have, alone or with others around them.

    Parameters
    ----------
    rotations : (N, 3, 3).
    shifts_px : (N, 2), in pixels of the working grid.
    around : (S, 3, 3) turns in the image's frame, applied to each rotation; default: the identity
        alone.
    """

    grid: Optional[np.ndarray] = None
    score_shapes: Mapping[str, Tuple[int, ...]] = {}

    def __init__(
        self, rotations: np.ndarray, shifts_px: np.ndarray, around: Optional[np.ndarray] = None
    ):
        self.rotations, self.shifts_px = rotations, shifts_px
        self.around = np.eye(3)[None] if around is None else around

    @classmethod
    def of_particles(
        cls,
        table: ParticleTable,
        pixel_size_angstrom: float,
        around: Optional[np.ndarray] = None,
    ) -> GivenStarts:
        """The poses of a table, with shifts in pixels of the working grid, 0 where none are given."""
        scale = table.pixel_size_angstrom / pixel_size_angstrom
        return cls(np.asarray(table.rotations), table.known_shifts_px * scale[:, None], around)

    def __call__(self, rows: np.ndarray) -> StartingPoses:
        particle = np.repeat(np.arange(len(rows)), len(self.around))
        own = rows[particle]
        rotations = np.tile(self.around, (len(rows), 1, 1)) @ self.rotations[own]
        shifts = self.shifts_px[own]
        poses = Poses(
            particle,
            rotations,
            shifts,
            anchor_rotations=self.rotations[own],
            anchor_shifts_px=shifts,
        )
        return StartingPoses(poses, {})


class CombinedStarts:
    """The starts of several sources together, of which one at most has a grid."""

    def __init__(self, sources: Sequence[Starts]):
        self.sources = list(sources)

    @property
    def grid(self) -> Optional[np.ndarray]:
        return next((source.grid for source in self.sources if source.grid is not None), None)

    @property
    def score_shapes(self) -> Mapping[str, Tuple[int, ...]]:
        return {name: s for source in self.sources for name, s in source.score_shapes.items()}

    def __call__(self, rows: np.ndarray) -> StartingPoses:
        starts = [source(rows) for source in self.sources]
        parts = [start.poses for start in starts]
        on_grid = [np.full(len(p), -1) if p.on_grid is None else p.on_grid for p in parts]
        poses = Poses(
            np.concatenate([p.particle for p in parts]),
            np.concatenate([p.rotations for p in parts]),
            np.concatenate([p.shifts_px for p in parts]),
            on_grid=np.concatenate(on_grid),
        )
        scores: Dict[str, np.ndarray] = {}
        for start in starts:
            scores.update(start.scores)
        return StartingPoses(poses, scores)


class WithGivenShifts:
    """The orientations of other starts, at given shifts (N, 2) in pixels of the working grid."""

    def __init__(self, starts: Starts, shifts_px: np.ndarray):
        self._starts, self._shifts_px = starts, shifts_px

    @property
    def grid(self) -> Optional[np.ndarray]:
        return self._starts.grid

    @property
    def score_shapes(self) -> Mapping[str, Tuple[int, ...]]:
        return self._starts.score_shapes

    def __call__(self, rows: np.ndarray) -> StartingPoses:
        poses, scores = self._starts(rows)
        shifts_px = self._shifts_px[rows[poses.particle]]
        return StartingPoses(dataclasses.replace(poses, shifts_px=shifts_px), scores)


def turns_around(angle_deg: float, number: int) -> np.ndarray:
    """(number + 1, 3, 3) rotations: the identity, and turns evenly spread in the ball of this
    radius.

    Axes on a Fibonacci spiral, angles so that each shell of the ball gets its share.
    """
    index = np.arange(number) + 0.5
    z, azimuth = 1 - 2 * index / number, np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(np.clip(1 - z * z, 0, None))
    axes = np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), z], axis=1)
    # Steps of the golden ratio make the angle independent of the position on the spiral.
    share = (index * 0.6180339887498949) % 1.0
    vectors = np.deg2rad(angle_deg) * np.cbrt(share)[:, None] * axes
    return np.concatenate([np.eye(3)[None], Rotation.from_rotvec(vectors).as_matrix()])
