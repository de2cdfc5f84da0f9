"""The pictures of `expand-symmetry`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ...core.io.names import PARTICLES_NAME
from ...core.io.particle_files import read_particles
from ..drawing import Picture, directions
from .config import ExpandSymmetryConfig


def pictures(folder: Path, config: ExpandSymmetryConfig) -> Dict[str, Picture]:
    """The viewing directions of the result."""
    if not (folder / PARTICLES_NAME).exists():
        return {}
    return {
        "direction_maps": Picture(
            "Viewing directions",
            lambda: directions({"particles": read_particles(folder / PARTICLES_NAME)}),
        )
    }
