"""What a reconstruction starts from, checked before any image is read."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from ...core.errors import InputError
from ...core.fourier.resampling import projected_density
from ...core.geometry.symmetry import parse_symmetry
from ...core.io.mrc import read_volume
from ...core.io.star import columns_not_modelled, read_particles
from ...core.particles.checks import check_ctf, has_grid_of, same_pixel_size
from ...core.particles.grids import even_grid, groups_in_use, have_one_pixel_size
from ...core.particles.halves import half_sets
from ...core.particles.images import ResampledImages
from ...core.plausibility import check_diameter
from ...core.scores import POSE_SOURCE
from ...core.types import ParticleTable, Volume
from .config import ReconstructConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """Particles on one grid, their half sets (N,) of 1 and 2, and the reference.

    Groups of another box or pixel size are resampled to the finest pixel size and the largest field of view among them.
    """

    table: ParticleTable
    images: ResampledImages
    box_size_px: int
    pixel_size_angstrom: float
    half: np.ndarray
    half_drawn: bool
    reference: Optional[Volume]

    @property
    def rotations(self) -> np.ndarray:
        """(N, 3, 3) rotations A."""
        if self.table.rotations is None:
            raise InputError("The particles have no orientations; align them first.")
        return self.table.rotations

    @property
    def shifts_px(self) -> np.ndarray:
        """(N, 2) in pixels of the common grid."""
        shifts = self.table.shifts_px
        return (
            np.zeros((len(self.table), 2))
            if shifts is None
            else shifts * self.images.scale[:, None]
        )

    def radius_px(self, group: int) -> float:
        """Nyquist frequency of an optics group in units of 1 / (box of the common grid): beyond it there is nothing."""
        return (
            0.5
            * self.box_size_px
            * self.pixel_size_angstrom
            / self.table.optics[group].pixel_size_angstrom
        )

    def pose_sources(self, half: int) -> Optional[Sequence[str]]:
        """Distinct sources of the poses of a half; None if they are not recorded."""
        sources = self.table.extra.get(POSE_SOURCE)
        return None if sources is None else sorted({str(s) for s in sources[self.half == half]})


def read_inputs(config: ReconstructConfig) -> Inputs:
    """Read and check everything but the pixels; InputError or ConfigError in one sentence."""
    parse_symmetry(config.symmetry)
    path = config.particles
    table = read_particles(path, ("poses",), config.images_from)
    check_ctf(table, path)
    half, drawn = half_sets(table, config.seed)
    box, pixel = even_grid(table, path)
    check_diameter(
        config.command, "mask_diameter_angstrom", config.mask_diameter_angstrom, box * pixel
    )
    reference = (
        None if config.reference is None else _read_reference(config.reference, box, pixel, table)
    )
    return Inputs(table, ResampledImages(table, box, pixel), box, pixel, half, drawn, reference)


def _read_reference(path, box: int, pixel: float, table: ParticleTable) -> Volume:
    """The reference on the common grid; it may also be on that of any optics group."""
    volume = read_volume(path)
    same_pixel = same_pixel_size(volume.pixel_size_angstrom, pixel)
    if volume.box_size_px == box and same_pixel:
        return volume
    if any(has_grid_of(volume, optics) for optics in groups_in_use(table)):
        return Volume(projected_density(volume, box, pixel), pixel)
    raise InputError(
        f"Reference {path} has {volume.box_size_px} px of {volume.pixel_size_angstrom:.4g} Å and the map of these "
        f"particles has {box} px of {pixel:.4g} Å; resample it to that grid."
    )


def log_inputs(inputs: Inputs) -> None:
    """Say what would otherwise go unnoticed."""
    table = inputs.table
    if table.ctf is None:
        logger.info("The particles have no CTF: their images are taken to be without one.")
    groups = groups_in_use(table)
    if len({g.box_size_px for g in groups}) > 1 or not have_one_pixel_size(groups):
        logger.info(
            "The optics groups differ in box or pixel size: all images are brought to %d px of %.4g Å, the finest "
            "pixel size and the largest field of view.",
            inputs.box_size_px,
            inputs.pixel_size_angstrom,
        )
    for label in columns_not_modelled(table):
        logger.warning("_%s is not modelled: the images are used as if it were not there.", label)
