"""Volumes to project: MRC maps as they are, atomic models as density."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import numpy as np

from ..core.errors import ConfigError
from ..core.io.folder import Folder
from ..core.io.mrc import read_volume, write_volume
from ..core.io.names import VOLUME_NAME
from ..core.maps.atomic_model import AtomicModel, is_atomic_model, settle_grid
from ..core.types import ParticleTable, Volume
from .imaging_config import ImagingConfig


def read_densities(
    config: ImagingConfig, paths: Tuple[str, ...], like: Optional[ParticleTable]
) -> Tuple[Volume, ...]:
    """One volume for each path, in their order.

    The density of an atomic model has the box and pixel size of the images: those of the config,
    otherwise of `like`, otherwise of the first map.
    """
    models = {path: AtomicModel(path, config.assembly) for path in paths if is_atomic_model(path)}
    maps = {path: read_volume(path) for path in paths if path not in models}
    if not models:
        _refuse(config, "resolution_angstrom", "assembly")
        return tuple(maps[path] for path in paths)
    if config.resolution_angstrom is None:
        raise ConfigError(
            f"{config.command}: {next(iter(models))} is an atomic model; give the resolution of "
            "its density with "
            "--resolution-angstrom."
        )

    optics = [] if like is None else [like.optics[i] for i in np.unique(like.optics_index)]
    others = [*((o.box_size_px, o.pixel_size_angstrom) for o in optics)]
    others += [(volume.box_size_px, volume.pixel_size_angstrom) for volume in maps.values()]
    box, pixel = settle_grid(
        list(models.values()),
        (config.box_size_px, *(b for b, _ in others)),
        (config.pixel_size_angstrom, *(p for _, p in others)),
        config.command,
    )

    resolution = config.resolution_angstrom
    densities = {path: model.density(resolution, box, pixel) for path, model in models.items()}
    return tuple(maps[path] if path in maps else densities[path] for path in paths)


def write_densities(folder: Folder, volumes: Sequence[Volume]) -> None:
    """Write the projected volumes to a folder: volume.mrc, or volume_1.mrc, volume_2.mrc, ... of
    several.
    """
    for number, volume in enumerate(volumes, 1):
        name = VOLUME_NAME if len(volumes) == 1 else f"volume_{number}.mrc"
        write_volume(folder.file(name), volume.data, volume.pixel_size_angstrom)


def _refuse(config: ImagingConfig, *names: str) -> None:
    """ConfigError if options of atomic models are given and there are none."""
    for name in names:
        if getattr(config, name) is not None:
            raise ConfigError(
                f"{config.command}: --{name.replace('_', '-')} is given and no volume is an atomic "
                "model (.pdb, .cif); "
                "leave it out."
            )
