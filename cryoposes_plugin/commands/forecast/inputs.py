"""The input of `forecast`, read and checked before any long work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import numpy as np

from ...core.errors import ConfigError
from ...core.geometry.symmetry import symmetry_rotations
from ...core.io.mrc import read_volume
from ...core.io.particle_files import read_particles
from ...core.particles.checks import check_ctf, check_volume
from ...core.particles.grids import Grid, working_grid
from ...core.scores import JUNK
from ...core.types import ParticleTable, Volume
from .config import ForecastConfig

MOST_IMAGES = 2000
#: Fewer images show neither noise nor amplitude.
_FEWEST_PARTICLES = 64
#: Particles that are more likely junk are left out where the set is measured.
_JUNK = 0.5


@dataclass(frozen=True)
class ForecastInputs:
    """The set, the map, its point group (G, 3, 3), the grid of the simulated images, how many there
    are, and the share of junk among them.
    """

    table: ParticleTable
    volume: Volume
    group: np.ndarray
    grid: Grid
    number: int
    junk_share: float

    @property
    def good(self) -> ParticleTable:
        """The particles that are more likely no junk."""
        junk = self.table.scores.get(JUNK)
        return self.table if junk is None else self.table.take(junk < _JUNK)


def read_inputs(config: ForecastConfig) -> ForecastInputs:
    """Open everything; InputError or ConfigError in one sentence where parts are unusable or do not
    fit together.
    """
    group = symmetry_rotations(config.symmetry)
    table = read_particles(str(config.particles), images_from=config.images_from)
    check_ctf(table, config.particles)
    volume = read_volume(str(config.volume))
    check_volume(str(config.volume), volume, table)
    grid = working_grid(table, config.working_box_px)
    _check_resolution(config.resolution_angstrom, grid)

    share = config.junk_share
    if share is None:
        junk: Optional[np.ndarray] = table.scores.get(JUNK)
        share = 0.0 if junk is None else float(junk.mean())
    number = config.number or max(_FEWEST_PARTICLES, min(len(table), MOST_IMAGES))
    inputs = ForecastInputs(table, volume, group, grid, number, min(share, 0.9))
    if len(inputs.good) < _FEWEST_PARTICLES:
        raise ConfigError(
            f"forecast: {config.particles} has {len(inputs.good)} particles that are not junk, and "
            f"at least {_FEWEST_PARTICLES} are needed to measure noise and signal; give more."
        )
    return inputs


def _check_resolution(wanted: Optional[float], grid: Grid) -> None:
    finest = 2 * grid.pixel_size_angstrom
    if wanted is not None and wanted < finest:
        raise ConfigError(
            f"forecast: --resolution-angstrom is {wanted:g}, but the simulated images of "
            f"{grid.box_size_px} px show nothing finer than {finest:.3g} Å; give a larger "
            "--working-box-px or a coarser resolution."
        )
