"""The pictures of `merge-sets`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ...core.io.names import PARTICLES_NAME
from ...core.io.particle_files import read_particles
from ..drawing import Picture, directions
from .config import MergeSetsConfig


def pictures(folder: Path, config: MergeSetsConfig) -> Dict[str, Picture]:
    """The viewing directions of the result."""
    star = folder / PARTICLES_NAME
    if not star.exists() or read_particles(star).rotations is None:
        return {}
    return {
        "direction_maps": Picture(
            "Viewing directions", lambda: directions({"particles": read_particles(star)})
        )
    }
