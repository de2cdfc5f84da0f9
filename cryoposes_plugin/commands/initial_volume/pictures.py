"""The pictures of `initial-volume`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.io.names import (
    FSC_NAME,
    PARTICLES_NAME,
    SEARCH_HISTORY_NAME,
    SEARCH_NAME,
    VOLUME_NAME,
)
from ...core.io.particle_files import read_particles
from ..drawing import Picture, directions, map_pictures, slices
from ..number_tables import read_numbers
from .config import InitialVolumeConfig


def pictures(folder: Path, config: InitialVolumeConfig) -> Dict[str, Picture]:
    """The search, then the volume and the poses; with rounds of refinement, the FSC of the half
    maps too.
    """
    if not (folder / VOLUME_NAME).exists():
        return {}

    history = folder / SEARCH_NAME / SEARCH_HISTORY_NAME
    search = Picture("The search", lambda: search_history(history))
    star = folder / PARTICLES_NAME
    if (folder / FSC_NAME).exists():
        return {"search": search, **map_pictures(folder, star)}
    return {
        "search": search,
        "volume_slices": slices(folder, "Initial volume"),
        "direction_maps": Picture(
            "Viewing directions", lambda: directions({"particles": read_particles(star)})
        ),
    }


def search_history(path: Path) -> Figure:
    """The share of the images' power that each start explains, by iteration."""
    table = read_numbers(path)
    starts = np.unique(table["start"])
    histories = [table["explained"][table["start"] == start] for start in starts]
    chosen = [bool(table["chosen"][table["start"] == start].any()) for start in starts]
    return plots.search_course(histories, chosen)
