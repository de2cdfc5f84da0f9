"""The pictures of `simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ...core.io.names import PARTICLES_NAME
from ...core.io.particle_files import read_particles
from ..drawing import Picture, directions, gallery
from .config import SimulateConfig


def pictures(folder: Path, config: SimulateConfig) -> Dict[str, Picture]:
    """Some of the images, and their viewing directions."""
    star = folder / PARTICLES_NAME
    if not star.exists():
        return {}
    return {
        "images": Picture("Some of the images", lambda: gallery(read_particles(star))),
        "direction_maps": Picture(
            "Viewing directions", lambda: directions({"simulated": read_particles(star)})
        ),
    }
