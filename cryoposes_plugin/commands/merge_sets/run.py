"""The `merge-sets` command: one particle file of several."""

from __future__ import annotations

from typing import Any, Dict, List

from ...core.errors import ConfigError
from ...core.io.cryosparc.dataset import is_dataset
from ...core.io.names import PARTICLES_NAME
from ...core.io.particle_files import read_particles, write_particle_results
from ...core.particles.merging import merged_tables
from ...core.types import ParticleTable
from ..run_directory import RunDirectory
from .config import MergeSetsConfig

_FEWEST = 2


def check(config: MergeSetsConfig) -> None:
    """Raise every error that can be found before any file is written."""
    config.validate()
    if len(config.sets) < _FEWEST:
        raise ConfigError("merge-sets: --sets names only one file; give two or more.")
    merged_tables(_tables(config), config.sets)


def run(config: MergeSetsConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.star, and particles.cs if all sets come from cryoSPARC; returns the metrics."""
    table = merged_tables(_tables(config), config.sets)
    write_particle_results(run, PARTICLES_NAME, table)
    return {
        "particles": len(table),
        "sets": len(config.sets),
        "optics_groups": len(table.optics),
        "particles_by_optics_group": {
            group.name: int((table.optics_index == index).sum())
            for index, group in enumerate(table.optics)
        },
    }


def _tables(config: MergeSetsConfig) -> List[ParticleTable]:
    return [
        read_particles(
            path, (), config.images_from, config.passthrough if is_dataset(path) else None
        )
        for path in config.sets
    ]
