"""The pictures of `iterate`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ...core.io.names import PARTICLES_NAME
from ..drawing import Picture, map_pictures
from .config import IterateConfig


def pictures(folder: Path, config: IterateConfig) -> Dict[str, Picture]:
    """The map, the FSC curves, and the viewing directions of the refined particles."""
    return map_pictures(folder, folder / PARTICLES_NAME)
