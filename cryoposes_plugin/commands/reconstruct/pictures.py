"""The pictures of `reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ..drawing import Picture, map_pictures
from .config import ReconstructConfig


def pictures(folder: Path, config: ReconstructConfig) -> Dict[str, Picture]:
    """The map, the FSC curves, and the viewing directions of the particles."""
    return map_pictures(folder, config.particles)
