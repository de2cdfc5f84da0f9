"""The `expand-symmetry` command: particles at all symmetry mates of their poses, and the way back."""

from __future__ import annotations

import logging
from typing import Any, Dict

from ...core.errors import ConfigError
from ...core.geometry.subgroups import cosets
from ...core.io.names import PARTICLES_NAME
from ...core.io.particle_files import read_particles, write_particle_results
from ...core.particles.symmetry_expansion import collapsed, expanded
from ...core.types import ParticleTable
from ...core.values import counted
from ..run_directory import RunDirectory
from .config import ExpandSymmetryConfig

logger = logging.getLogger(__name__)


def check(config: ExpandSymmetryConfig) -> None:
    """Raise every error that can be found before any file is written."""
    config.validate()
    result_of(config, _read(config))


def run(config: ExpandSymmetryConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.star; returns the metrics."""
    table = _read(config)
    result = result_of(config, table)
    write_particle_results(run, PARTICLES_NAME, result)
    what = "kept of" if config.collapse else "made of"
    note = f"{counted(len(result), 'particle')} {what} {len(table)}."
    logger.info("expand-symmetry: %s", note)
    return {"particles": len(result), "particles_given": len(table), "notes": [note]}


def _read(config: ExpandSymmetryConfig) -> ParticleTable:
    needed = () if config.collapse else ("poses",)
    return read_particles(str(config.particles), needed, config.images_from, config.passthrough)


def result_of(config: ExpandSymmetryConfig, table: ParticleTable) -> ParticleTable:
    """The particles expanded, or collapsed; raises what is wrong with config or particles."""
    if config.collapse:
        return collapsed(table)
    mates = cosets(config.pseudo_symmetry, config.symmetry)
    if len(mates) == 1:
        raise ConfigError(
            f"expand-symmetry: {config.pseudo_symmetry} has no more mates than {config.symmetry}; "
            "give the point group of the mates in --pseudo-symmetry."
        )
    return expanded(table, mates)
