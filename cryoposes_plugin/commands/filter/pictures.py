"""The pictures of `filter`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from matplotlib.figure import Figure

from ...core import plots
from ...core.io.names import ACCEPTED_NAME, REJECTED_NAME
from ...core.io.particle_files import read_particles
from ..drawing import Picture, directions, saved_metrics
from .config import FilterConfig
from .decision import decide
from .decoys import decoys_beside


def pictures(folder: Path, config: FilterConfig) -> Dict[str, Picture]:
    """The scores with the accepted part marked, and the viewing directions of both parts."""
    if not all((folder / name).exists() for name in (ACCEPTED_NAME, REJECTED_NAME)):
        return {}

    everything = read_particles(str(config.particles), (), config.images_from, config.passthrough)
    decision = decide(config, everything)
    accepted, score = decision.accepted, decision.score
    threshold = saved_metrics(folder).get("threshold")

    def maps() -> Figure:
        parts = {
            "all": everything,
            "accepted": everything.take(accepted),
            "rejected": everything.take(~accepted),
        }
        return directions({name: table for name, table in parts.items() if len(table)})

    found = {
        "uncertainty_histogram": Picture(
            "Uncertainty, with the accepted part marked",
            lambda: plots.uncertainty_histogram(
                everything.scores[score], accepted, score, threshold, decoys_beside(config, score)
            ),
        )
    }
    if everything.rotations is not None:
        found["direction_maps"] = Picture("Viewing directions: all, accepted, rejected", maps)
    return found
