"""The inputs of `reconstruct`, checked before any image is read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Optional

from ...core.errors import InputError
from ...core.fourier.resampling import projected_density
from ...core.geometry.symmetry import parse_symmetry
from ...core.io.mrc import read_volume
from ...core.io.star import columns_not_modelled, read_particles
from ...core.particles.checks import check_ctf, has_grid_of, same_pixel_size
from ...core.particles.grids import Grid, even_grid, groups_in_use, have_one_pixel_size
from ...core.particles.halves import half_sets
from ...core.reconstruction.particles import ReconstructionParticles
from ...core.types import ParticleTable, Volume
from ..plausibility import check_diameter
from .config import ReconstructConfig
from .weighting import weights_of

logger = logging.getLogger(__name__)

#: Diameter of the default mask, as a share of the box: a particle that is boxed well fills this
#: much.
MASK_SHARE = 0.75


@dataclass(frozen=True)
class ReconstructionInputs:
    """The particles, whether their half sets were drawn here, and the reference on their grid."""

    particles: ReconstructionParticles
    half_drawn: bool
    reference: Optional[Volume]


def read_inputs(config: ReconstructConfig) -> ReconstructionInputs:
    """Read and check everything but the pixels; InputError or ConfigError in one sentence."""
    parse_symmetry(config.symmetry)
    path = config.particles
    table = read_particles(str(path), ("poses",), config.images_from, config.passthrough)
    check_ctf(table, path)
    half, drawn = half_sets(table, config.seed)

    grid = even_grid(table, path)
    diameter = config.mask_diameter_angstrom
    check_diameter(config.command, "mask_diameter_angstrom", diameter, grid.field_of_view_angstrom)
    reference = None
    if config.reference is not None:
        reference = _read_reference(config.reference, grid, table)
    particles = ReconstructionParticles.on_common_grid(table, half)
    weights = weights_of(config, table, reference, mask_diameter(config, grid))
    return ReconstructionInputs(replace(particles, weights=weights), drawn, reference)


def mask_diameter(config: ReconstructConfig, grid: Grid) -> float:
    """Diameter of the mask in Å, the given one or a share of the box."""
    if config.mask_diameter_angstrom is not None:
        return config.mask_diameter_angstrom
    return MASK_SHARE * grid.box_size_px * grid.pixel_size_angstrom


def _read_reference(path: str, grid: Grid, table: ParticleTable) -> Volume:
    """The reference on the grid of the map; it may also have the grid of any optics group."""
    volume = read_volume(path)
    box, pixel = grid
    if volume.box_size_px == box and same_pixel_size(volume.pixel_size_angstrom, pixel):
        return volume
    if any(has_grid_of(volume, optics) for optics in groups_in_use(table)):
        return Volume(projected_density(volume, box, pixel), pixel)
    raise InputError(
        f"Reference {path} has {volume.box_size_px} px of {volume.pixel_size_angstrom:.4g} Å and "
        f"the map of these particles has {box} px of {pixel:.4g} Å; resample it to that grid."
    )


def log_inputs(particles: ReconstructionParticles) -> None:
    """Log remarks on the input that could otherwise go unnoticed."""
    table = particles.table
    if table.ctf is None:
        logger.info("The particles have no CTF: their images are treated as free of one.")
    groups = groups_in_use(table)
    if len({g.box_size_px for g in groups}) > 1 or not have_one_pixel_size(groups):
        logger.info(
            "The optics groups differ in box or pixel size: all images are resampled to %d px of "
            "%.4g Å, the finest pixel size and the largest field of view.",
            particles.box_size_px,
            particles.pixel_size_angstrom,
        )
    for label in columns_not_modelled(table):
        logger.warning("_%s is not modelled and is ignored.", label)
