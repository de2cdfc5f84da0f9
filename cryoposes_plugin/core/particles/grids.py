"""Grids of images and maps, and the one on which all optics groups of a particle set meet."""

from __future__ import annotations

import math
from typing import NamedTuple, Optional, Sequence

import numpy as np

from ..errors import InputError
from ..io.star_labels import SAME_PIXEL_SIZE
from ..types import OpticsGroup, ParticleTable

#: Largest box in which images are compared with a map, unless another one is requested.
LARGEST_BOX_PX = 128


class Grid(NamedTuple):
    """Box and pixel size of images, or of a map."""

    box_size_px: int
    pixel_size_angstrom: float

    @property
    def field_of_view_angstrom(self) -> float:
        return self.box_size_px * self.pixel_size_angstrom

    def rescaled(self, box_size_px: int) -> Grid:
        """The same field of view in another box."""
        pixel = self.pixel_size_angstrom * self.box_size_px / box_size_px
        return Grid(box_size_px, pixel)

    def with_pixel_size(self, pixel_size_angstrom: float) -> Grid:
        """The same field of view or a little more, in an even box of pixels of this size."""
        half = self.field_of_view_angstrom / pixel_size_angstrom / 2
        return Grid(2 * math.ceil(half - 1e-6), pixel_size_angstrom)


def common_grid(table: ParticleTable) -> Grid:
    """The finest pixel size and the largest field of view of the optics groups in use."""
    groups = groups_in_use(table)
    pixel = min(g.pixel_size_angstrom for g in groups)
    if have_one_pixel_size(groups):
        return Grid(max(g.box_size_px for g in groups), pixel)
    grids = [Grid(g.box_size_px, g.pixel_size_angstrom) for g in groups]
    return max(grids, key=lambda g: g.field_of_view_angstrom).with_pixel_size(pixel)


def even_grid(table: ParticleTable, path: Optional[str]) -> Grid:
    """`common_grid` of the particles of a file; InputError for an odd box."""
    grid = common_grid(table)
    if grid.box_size_px % 2:
        raise InputError(
            f"The images of {path} have an odd box of {grid.box_size_px} px; extract or resample "
            "them to an even box."
        )
    return grid


def working_grid(table: ParticleTable, largest_box_px: Optional[int] = None) -> Grid:
    """The field of view of the images in an even box of at most `LARGEST_BOX_PX`, or the box given."""
    box, pixel = common_grid(table)
    grid, largest = Grid(box + box % 2, pixel), largest_box_px or LARGEST_BOX_PX
    return grid if grid.box_size_px <= largest else grid.rescaled(largest)


def groups_in_use(table: ParticleTable) -> Sequence[OpticsGroup]:
    """The optics groups that particles belong to."""
    return [table.optics[g] for g in np.unique(table.optics_index)]


def have_one_pixel_size(groups: Sequence[OpticsGroup]) -> bool:
    sizes = [g.pixel_size_angstrom for g in groups]
    return max(sizes) <= min(sizes) * (1 + SAME_PIXEL_SIZE)
