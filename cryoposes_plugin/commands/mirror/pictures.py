"""The pictures of `mirror`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ...core.io.names import PARTICLES_NAME, VOLUME_NAME
from ...core.io.particle_files import read_particles
from ..drawing import Picture, directions, slices
from .config import MirrorConfig


def pictures(folder: Path, config: MirrorConfig) -> Dict[str, Picture]:
    """The mirrored map and the viewing directions in its frame."""
    found: Dict[str, Picture] = {}
    if (folder / VOLUME_NAME).exists():
        found["volume_slices"] = slices(folder, "Mirrored volume")
    star = folder / PARTICLES_NAME
    if star.exists():
        found["direction_maps"] = Picture(
            "Viewing directions", lambda: directions({"mirrored": read_particles(star)})
        )
    return found
