"""Poses of several images together, with any number of poses for each image."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, List, Optional, Union

import numpy as np


@dataclass(frozen=True)
class Poses:
    """B poses.

    Attributes
    ----------
    particle : (B,) int, row of the image that each pose belongs to.
    rotations : (B, 3, 3), A of `conventions`.
    shifts_px : (B, 2), (x, y) in pixels of the working grid.
    anchor_rotations, anchor_shifts_px : (B, 3, 3) and (B, 2), the centre of a prior, or None.
    on_grid : (B,) int32, which rotation of the starts' grid each pose has, -1 for none; or None.
    """

    particle: np.ndarray
    rotations: np.ndarray
    shifts_px: np.ndarray
    anchor_rotations: Optional[np.ndarray] = None
    anchor_shifts_px: Optional[np.ndarray] = None
    on_grid: Optional[np.ndarray] = None

    def __len__(self) -> int:
        return len(self.particle)

    @property
    def starts_image(self) -> np.ndarray:
        """(B,) bool: the first pose of each image; the poses of an image must stand together."""
        return np.r_[True, self.particle[1:] != self.particle[:-1]]

    def take(self, rows: Union[np.ndarray, slice]) -> Poses:
        """Some of the poses, in the given order."""
        values: List[Any] = [getattr(self, field.name) for field in fields(self)]
        taken: List[Any] = [None if value is None else value[rows] for value in values]
        return Poses(*taken)
