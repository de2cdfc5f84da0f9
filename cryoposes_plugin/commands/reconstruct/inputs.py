"""The inputs of `reconstruct`, checked before any image is read."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from ...core.errors import ConfigError, InputError
from ...core.fourier.masks import soft_sphere
from ...core.fourier.resampling import projected_density
from ...core.geometry.symmetry import parse_symmetry
from ...core.io.mrc import read_volume
from ...core.io.particle_files import columns_not_modelled, read_particles
from ...core.maps.volume_mask import mask_on_grid
from ...core.particles.checks import check_ctf, has_grid_of, same_pixel_size
from ...core.particles.grids import Grid, even_grid, groups_in_use, have_one_pixel_size
from ...core.particles.halves import half_sets
from ...core.reconstruction.particles import ReconstructionParticles
from ...core.types import ParticleTable, Volume
from ..mask_input import read_mask
from ..plausibility import check_diameter
from .config import ReconstructConfig
from .weighting import weights_of

logger = logging.getLogger(__name__)

#: Maps have so many times the box of the images, and pixels of this part of theirs, at most.
_LARGEST_FACTOR = 4
_SMALLEST_BOX_PX = 16
#: Diameter of the default mask, as a share of the box: a particle that is boxed well fills this
#: much.
MASK_SHARE = 0.75


@dataclass(frozen=True)
class ReconstructionInputs:
    """The particles, whether their half sets were drawn here, the grid of the maps, the mask on it
    under which they are compared, and the reference on it.
    """

    particles: ReconstructionParticles
    half_drawn: bool
    grid: Grid
    mask: np.ndarray
    reference: Optional[Volume]


def read_inputs(config: ReconstructConfig) -> ReconstructionInputs:
    """Read and check everything but the pixels; InputError or ConfigError in one sentence."""
    parse_symmetry(config.symmetry)
    path = config.particles
    table = read_particles(str(path), ("poses",), config.images_from, config.passthrough)
    check_ctf(table, path)
    half, drawn = half_sets(table, config.seed)

    images = even_grid(table, path)
    diameter, view = config.mask_diameter_angstrom, images.field_of_view_angstrom
    check_diameter(config.command, "mask_diameter_angstrom", diameter, view)
    grid = map_grid(config, images)
    reference = None
    if config.reference is not None:
        reference = _read_reference(config.reference, grid, table)
    pixel = config.pixel_size_angstrom
    particles = ReconstructionParticles.on_common_grid(table, half, pixel)
    given = read_mask(config.mask, table, grid)
    weights = weights_of(config, table, reference or given, mask_diameter(config, grid))
    mask = fsc_mask(config, grid) if given is None else given.data
    return ReconstructionInputs(replace(particles, weights=weights), drawn, grid, mask, reference)


def fsc_mask(config: ReconstructConfig, grid: Grid) -> np.ndarray:
    """(D, D, D) under which half maps are compared: the mask given, otherwise a soft sphere."""
    if config.mask is not None:
        return mask_on_grid(read_volume(config.mask), *grid)
    radius_px = mask_diameter(config, grid) / 2 / grid.pixel_size_angstrom
    return soft_sphere(grid.box_size_px, radius_px)


def map_grid(config: ReconstructConfig, images: Grid) -> Grid:
    """The grid of the maps; ConfigError for one that the images cannot fill.

    `images` is the grid on which all images meet.
    """
    pixel = config.pixel_size_angstrom or images.pixel_size_angstrom
    whole = images.with_pixel_size(pixel)

    given = f"reconstruct: --pixel-size-angstrom is {pixel:g} and the images have"
    if pixel < images.pixel_size_angstrom / _LARGEST_FACTOR:
        raise ConfigError(
            f"{given} pixels of {images.pixel_size_angstrom:.4g} Å: finer than a quarter of that, "
            "a map is nothing but large; give a coarser pixel size."
        )
    if whole.box_size_px < _SMALLEST_BOX_PX:
        raise ConfigError(
            f"{given} a field of view of {images.field_of_view_angstrom:.0f} Å, which is "
            f"{whole.box_size_px} of these pixels; give a finer pixel size, so that there are "
            f"{_SMALLEST_BOX_PX} at least."
        )
    box = config.box_px or whole.box_size_px
    if box > _LARGEST_FACTOR * whole.box_size_px:
        raise ConfigError(
            f"reconstruct: --box-px is {box}, which is {box * pixel:.0f} Å, and the images are "
            f"{images.field_of_view_angstrom:.0f} Å wide: beyond them a map is empty; give a "
            "smaller box."
        )
    grid, diameter = Grid(box, pixel), config.mask_diameter_angstrom
    if diameter is not None and diameter > grid.field_of_view_angstrom:
        raise ConfigError(
            f"reconstruct: --box-px is {box}, which is {grid.field_of_view_angstrom:.0f} Å, and "
            f"--mask-diameter-angstrom is {diameter:g}; give a larger box or a smaller mask."
        )
    return grid


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
