"""The `mirror` command: a map, what belongs to it, and its poses in the other hand."""

from __future__ import annotations

import logging
from typing import Any, Dict, Optional

from ...core.errors import InputError
from ...core.io.covariances import read_covariance, write_covariances
from ...core.io.error_log import not_fatal
from ...core.io.mrc import read_volume, write_volume
from ...core.io.names import (
    HALF1_NAME,
    HALF2_NAME,
    MASK_NAME,
    PARTICLES_NAME,
    VOLUME_NAME,
)
from ...core.io.particle_files import read_particles, write_particle_results
from ...core.particles.checks import check_same_pixel_size, same_pixel_size
from ...core.particles.hand import particles_of_other_hand, volume_of_other_hand
from ...core.types import ParticleTable, Volume
from ...core.values import counted
from ..report import write_report
from ..run_directory import RunDirectory
from .config import MirrorConfig
from .pictures import pictures

logger = logging.getLogger(__name__)

#: The file that each option becomes.
_NAMES = {"volume": VOLUME_NAME, "half1": HALF1_NAME, "half2": HALF2_NAME, "mask": MASK_NAME}
_STATEMENT = (
    "Images cannot tell the hand: the mirrored poses and volume explain them as well as the given "
    "ones. Which hand is right has to come from elsewhere."
)


def check(config: MirrorConfig) -> None:
    """Raise every error that can be found before any file is written."""
    config.validate()
    table, volumes = _table(config), list(_volumes(config).items())
    if not volumes:
        return
    (first_name, first), *others = volumes

    for name, other in others:
        same = same_pixel_size(other.pixel_size_angstrom, first.pixel_size_angstrom)
        if other.box_size_px != first.box_size_px or not same:
            raise InputError(
                f"{getattr(config, name)} has {other.box_size_px} px of "
                f"{other.pixel_size_angstrom:.4g} Å and {getattr(config, first_name)} has "
                f"{first.box_size_px} px of {first.pixel_size_angstrom:.4g} Å; give files on one "
                "grid."
            )
    if table is not None:
        check_same_pixel_size(getattr(config, first_name), first, table)


def run(config: MirrorConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write what was given in the other hand: volume.mrc, half1.mrc, half2.mrc, mask.mrc,
    particles.star, covariance.npz; returns the metrics.
    """
    for name, volume in _volumes(config).items():
        flipped = volume_of_other_hand(volume, config.flip)
        write_volume(run.file(_NAMES[name]), flipped.data, flipped.pixel_size_angstrom)
    table = _table(config)
    if table is not None:
        covariance = read_covariance(str(config.particles), table)
        table, covariance = particles_of_other_hand(table, covariance, config.flip)
        write_particle_results(run, PARTICLES_NAME, table)
        if covariance is not None:
            write_covariances(run, table.ids, covariance)

    metrics: Dict[str, Any] = {
        "particles": 0 if table is None else len(table),
        "volumes": [_NAMES[name] for name in _volumes(config)],
        "flip": config.flip,
        "statement": _STATEMENT,
    }
    logger.info("mirror: %s", _STATEMENT)
    with not_fatal(run.path, "its report"):
        write_report(
            run.path,
            "Mirrored volume and poses",
            lead=f"{counted(len(metrics['volumes']), 'volume')} and "
            f"{counted(metrics['particles'], 'particle')} in the other hand.",
            numbers=metrics,
            notes=[_STATEMENT],
            figures={
                name: (picture.title + ".", picture.draw())
                for name, picture in pictures(run.path, config).items()
            },
        )
    return metrics


def _volumes(config: MirrorConfig) -> Dict[str, Volume]:
    """The volumes that were given, by option."""
    return {
        name: read_volume(getattr(config, name))
        for name in _NAMES
        if getattr(config, name) is not None
    }


def _table(config: MirrorConfig) -> Optional[ParticleTable]:
    if config.particles is None:
        return None
    return read_particles(config.particles, ("poses",), config.images_from, config.passthrough)
