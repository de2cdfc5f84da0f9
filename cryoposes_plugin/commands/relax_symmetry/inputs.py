"""The input of `relax-symmetry`, read and checked before any long work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from ...core.errors import ConfigError, InputError
from ...core.geometry.subgroups import Cosets, cosets
from ...core.io.mrc import read_volume
from ...core.io.particle_files import read_particles
from ...core.maps.volume_mask import check_mask
from ...core.particles.checks import check_ctf, check_volume
from ...core.particles.grids import Grid, working_grid
from ...core.types import ParticleTable, Volume
from .config import RelaxSymmetryConfig


@dataclass(frozen=True)
class RelaxationInputs:
    """Particles, the volume and its focus mask, the cosets of the true symmetry, and the grid to work
    on.
    """

    table: ParticleTable
    volume: Volume
    focus: Optional[Volume]
    cosets: Cosets
    grid: Grid


def read_inputs(config: RelaxSymmetryConfig) -> RelaxationInputs:
    """Open everything; InputError or ConfigError in one sentence where parts are unusable or do not
    fit together.
    """
    mates = cosets(config.pseudo_symmetry, config.symmetry)
    if len(mates) == 1:
        raise ConfigError(
            f"relax-symmetry: the pseudo-symmetry {config.pseudo_symmetry} is no larger than the "
            f"true symmetry {config.symmetry}, so poses have no mates; give the group that the "
            "particle seems to have in --pseudo-symmetry."
        )
    table = read_particles(
        str(config.particles), ("poses",), config.images_from, config.passthrough
    )
    check_ctf(table, config.particles)
    volume = read_volume(str(config.volume))
    check_volume(str(config.volume), volume, table)
    grid = working_grid(table, config.working_box_px)
    config.check_images(grid.field_of_view_angstrom)

    focus = None if config.focus_mask is None else _read_focus(config.focus_mask, volume)
    return RelaxationInputs(table, volume, focus, mates, grid)


def _read_focus(path: str, volume: Volume) -> Volume:
    focus = read_volume(path)
    if focus.box_size_px != volume.box_size_px:
        raise InputError(
            f"Focus mask {path} has {focus.box_size_px} voxels along each side and the volume has "
            f"{volume.box_size_px}; give a mask on the grid of the volume."
        )
    check_mask(path, focus)
    return Volume(np.clip(focus.data, 0, 1), volume.pixel_size_angstrom)
