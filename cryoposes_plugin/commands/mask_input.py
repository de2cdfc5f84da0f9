"""The mask of a volume, which several commands take."""

from __future__ import annotations

import logging
from typing import Any, Optional

from ..core.errors import ConfigError
from ..core.io.mrc import read_volume
from ..core.maps.volume_mask import check_mask, mask_on_grid, warn_of_hard_edge
from ..core.particles.checks import check_volume, same_pixel_size
from ..core.particles.grids import Grid
from ..core.types import ParticleTable, Volume
from .config import Config, option

logger = logging.getLogger(__name__)


def mask_option(what: str, group: str) -> Any:
    """A mask from a file; `what` says what is masked."""
    return option(
        None,
        f"Mask: 1 inside, 0 outside, with a soft edge. {what} Default: no mask from a file.",
        label="Mask",
        group=group,
        path="MRC",
    )


def refuse_two_masks(config: Config) -> None:
    """ConfigError for a mask and a diameter of one."""
    diameter = getattr(config, "mask_diameter_angstrom", None)
    if getattr(config, "mask", None) is not None and diameter is not None:
        raise ConfigError(
            f"{config.command}: --mask and --mask-diameter-angstrom ({diameter:g}) exclude each "
            "other; give one of them."
        )


def read_mask(path: Optional[str], table: ParticleTable, grid: Grid) -> Optional[Volume]:
    """The mask of a file on a grid, None without a file; InputError for one that does not fit.

    Parameters
    ----------
    path : of the file.
    table : particles that the mask belongs to.
    grid : of the volume to be masked.
    """
    if path is None:
        return None
    mask = read_volume(path)
    check_mask(path, mask)
    warn_of_hard_edge(path, mask)
    check_volume(path, mask, table)

    box, pixel = mask.box_size_px, mask.pixel_size_angstrom
    if box != grid.box_size_px or not same_pixel_size(pixel, grid.pixel_size_angstrom):
        logger.info(
            "Mask %s has %d px of %.4g Å and is resampled to %d px of %.4g Å.",
            path,
            box,
            pixel,
            *grid,
        )
    else:
        grid = Grid(box, pixel)
    return Volume(mask_on_grid(mask, *grid), grid.pixel_size_angstrom)
