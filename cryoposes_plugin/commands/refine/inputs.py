"""The input of `refine`, read and checked before any long work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.geometry.symmetry import symmetry_rotations
from ...core.io.mrc import read_volume
from ...core.io.particle_files import read_particles
from ...core.maps.volume_mask import masked_volume
from ...core.particles.checks import check_ctf, check_volume
from ...core.particles.grids import Grid, working_grid
from ...core.types import ParticleTable, Volume
from ..mask_input import read_mask
from ..plausibility import check_resolution
from .config import RefineConfig


@dataclass(frozen=True)
class RefinementInputs:
    """Particles with the poses to start from, the volume, its point group (G, 3, 3), and the grid
    to work on.
    """

    table: ParticleTable
    volume: Volume
    group: np.ndarray
    grid: Grid


def read_inputs(config: RefineConfig) -> RefinementInputs:
    """Open everything; InputError or ConfigError in one sentence where parts are unusable or do not
    fit together.
    """
    group = symmetry_rotations(config.symmetry)
    table = read_particles(
        str(config.particles), ("poses",), config.images_from, config.passthrough
    )
    check_ctf(table, config.particles)
    volume = read_volume(str(config.volume))
    check_volume(str(config.volume), volume, table)
    of_volume = Grid(volume.box_size_px, volume.pixel_size_angstrom)
    mask = read_mask(config.mask, table, of_volume)
    if mask is not None:
        volume = masked_volume(volume, mask)
    grid = working_grid(table, config.working_box_px)
    check_resolution(config.command, config.resolution_angstrom, grid.field_of_view_angstrom)
    return RefinementInputs(table, volume, group, grid)
