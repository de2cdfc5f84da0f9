"""Particles with poses, on one grid and in two half sets: what a map is reconstructed from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional

import numpy as np

from ..errors import InputError
from ..particles.grids import common_grid
from ..particles.images import ResampledImages
from ..scores import POSE_SOURCE
from ..types import ParticleTable
from .weights import PoseWeights


@dataclass(frozen=True)
class ReconstructionParticles:
    """Particles, their images on one grid, and their half sets.

    Attributes
    ----------
    table : with orientations; shifts that are missing count as zero.
    images : of all particles, on one grid.
    half : (N,) int64 of 1 and 2.
    weights : by the errors of the poses; None: all particles count alike.
    """

    table: ParticleTable
    images: ResampledImages
    half: np.ndarray
    weights: Optional[PoseWeights] = None

    @classmethod
    def on_common_grid(
        cls, table: ParticleTable, half: np.ndarray, pixel_size_angstrom: Optional[float] = None
    ) -> ReconstructionParticles:
        """On the largest field of view of the optics groups and their finest pixel size, or the
        given one.
        """
        grid = common_grid(table)
        if pixel_size_angstrom is not None:
            grid = grid.with_pixel_size(pixel_size_angstrom)
        return cls(table, ResampledImages(table, *grid), half)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def box_size_px(self) -> int:
        return self.images.box_size_px

    @property
    def pixel_size_angstrom(self) -> float:
        return self.images.pixel_size_angstrom

    @property
    def rotations(self) -> np.ndarray:
        """(N, 3, 3) rotations A; InputError without orientations."""
        if self.table.rotations is None:
            raise InputError("The particles have no orientations; align them first.")
        return self.table.rotations

    @property
    def shifts_px(self) -> np.ndarray:
        """(N, 2) in pixels of the common grid."""
        shifts = self.table.shifts_px
        if shifts is None:
            return np.zeros((len(self.table), 2))
        return shifts * self.images.scale[:, None]

    def nyquist_radius(self, group: int) -> float:
        """Nyquist frequency of an optics group in cycles per box: its images hold nothing beyond."""
        view = 0.5 * self.box_size_px * self.pixel_size_angstrom
        return view / self.table.optics[group].pixel_size_angstrom

    def pose_sources(self, half: int) -> Optional[List[str]]:
        """Distinct sources of the poses of a half set; None if they are not recorded."""
        sources = self.table.extra.get(POSE_SOURCE)
        return None if sources is None else sorted({str(s) for s in sources[self.half == half]})
