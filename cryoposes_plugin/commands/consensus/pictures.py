"""The pictures of `consensus`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from matplotlib.figure import Figure

from ...core import plots
from ...core.io.names import ACCEPTED_NAME, REJECTED_NAME
from ...core.io.particle_files import read_particles
from ..drawing import Picture, directions, saved_metrics
from ..number_tables import read_numbers
from .config import ConsensusConfig

#: The table of differences.
TABLE_NAME = "consensus.csv"


def pictures(folder: Path, config: ConsensusConfig) -> Dict[str, Picture]:
    """Differences in units of their covariance, and the views of both sets."""
    if not (folder / TABLE_NAME).exists():
        return {}
    return {
        "chi_square": Picture(
            "Differences in units of their covariance", lambda: _chi_square(folder)
        ),
        "direction_maps": Picture("Viewing directions", lambda: _directions(folder)),
    }


def _directions(folder: Path) -> Figure:
    metrics = saved_metrics(folder)
    agree, rest = metrics["agree"], metrics["particles"] - metrics["agree"]
    parts = {"agree": (ACCEPTED_NAME, agree), "do not": (REJECTED_NAME, rest)}
    return directions(
        {title: read_particles(folder / name) for title, (name, number) in parts.items() if number}
    )


def _chi_square(folder: Path) -> Figure:
    values = read_numbers(folder / TABLE_NAME)["chi_square"]
    degrees = saved_metrics(folder).get("degrees_of_freedom", 5)
    return plots.chi_square_quantiles(values, degrees)
