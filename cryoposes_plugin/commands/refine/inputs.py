"""What `refine` is given, read and checked before any long work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.errors import InputError
from ...core.geometry.symmetry import symmetry_rotations
from ...core.io.mrc import read_volume
from ...core.io.star import read_particles
from ...core.particles.grids import Grid, working_grid
from ...core.plausibility import check_resolution
from ...core.types import ParticleTable, Volume
from ..reconstruct.inputs import check_ctf, has_grid_of
from .config import RefineConfig


@dataclass(frozen=True)
class Inputs:
    """Particles with the poses to start from, the volume, its point group (G, 3, 3), and the grid to work on."""

    table: ParticleTable
    volume: Volume
    group: np.ndarray
    grid: Grid


def read_inputs(config: RefineConfig) -> Inputs:
    """Open everything; InputError or ConfigError in one sentence where parts are unusable or do not fit together."""
    group = symmetry_rotations(config.symmetry)
    table = read_particles(config.particles, ("poses",), config.images_from)
    check_ctf(table, config.particles)
    volume = read_volume(config.volume)
    check_volume(config.volume, volume, table)
    grid = working_grid(table, config.working_box_px)
    check_resolution(config.command, config.resolution_angstrom, grid.field_of_view_angstrom)
    return Inputs(table, volume, group, grid)


def check_volume(path, volume: Volume, table: ParticleTable) -> None:
    """A map of the images' box and another pixel size, or much smaller or larger than the images, is a mistake."""
    if not np.ptp(volume.data) > 0:
        value = float(volume.data.flat[0]) + 0.0
        raise InputError(
            f"Volume {path} is constant ({value:g} everywhere); give a map with density."
        )
    check_pixel_size(path, volume, table)
    width = volume.box_size_px * volume.pixel_size_angstrom
    for group in np.unique(table.optics_index):
        optics = table.optics[group]
        view = optics.box_size_px * optics.pixel_size_angstrom
        if not 0.4 < width / view < 4:
            raise InputError(
                f"Volume {path} is {width:.0f} Å wide and the images are {view:.0f} Å wide; check both pixel sizes."
            )


def check_pixel_size(path, volume: Volume, table: ParticleTable) -> None:
    """InputError where map and images have the same box and different pixel sizes, and no group of images has both."""
    box, pixel = volume.box_size_px, volume.pixel_size_angstrom
    groups = [table.optics[group] for group in np.unique(table.optics_index)]
    if any(has_grid_of(volume, optics) for optics in groups):
        return
    for optics in groups:
        if box == optics.box_size_px:
            raise InputError(
                f"Volume {path} has the particles' box, {box} px, and {pixel:g} Å/px where they have "
                f"{optics.pixel_size_angstrom:g} Å/px; one of the two is wrong: correct it."
            )
