"""The pictures of `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Tuple

from matplotlib.figure import Figure

from ...core import plots
from ...core.evaluation.pair_distances import pair_distances_deg
from ...core.image_kinds import PARTICLE, true_kinds
from ...core.io.names import ERRORS_NAME
from ...core.io.particle_files import read_particles
from ...core.scores import best_ranking
from ...core.types import ParticleTable
from ..drawing import Picture, directions
from ..number_tables import number_names, read_numbers
from .config import CompareConfig

_PAIRS = 20000


def pictures(folder: Path, config: CompareConfig) -> Dict[str, Picture]:
    """Errors, estimated against true distances, viewing directions, and error against uncertainty."""
    if not (folder / ERRORS_NAME).exists():
        return {}

    found = {
        "error_histogram": Picture("Angular errors", lambda: _histogram(folder)),
        "distance_density": Picture(
            "Estimated against true distances of pairs", lambda: _distances(config)
        ),
        "direction_maps": Picture(
            "Viewing directions",
            lambda: directions(dict(zip(("true", "estimated"), _both_sets(config)))),
        ),
    }
    score = best_ranking(number_names(folder / ERRORS_NAME))
    if score is not None:
        found["error_against_uncertainty"] = Picture(
            "Error against uncertainty", lambda: _against(folder, score)
        )
    return found


def _histogram(folder: Path) -> Figure:
    return plots.error_histogram(read_numbers(folder / ERRORS_NAME)["angular_error_deg"])


def _against(folder: Path, score: str) -> Figure:
    errors = read_numbers(folder / ERRORS_NAME)
    return plots.error_against_uncertainty(errors[score], errors["angular_error_deg"], score)


def _distances(config: CompareConfig) -> Figure:
    """Density of estimated against true distances of randomly drawn pairs of particles."""
    truth, estimate = _both_sets(config)
    true_deg, estimated_deg = pair_distances_deg(
        truth, estimate, config.symmetry, _PAIRS, config.join_by
    )
    return plots.distance_density(true_deg, estimated_deg)


def _both_sets(config: CompareConfig) -> Tuple[ParticleTable, ParticleTable]:
    truth, estimate = (
        _particles_alone(read_particles(str(p), (), config.images_from, config.passthrough))
        for p in (config.truth, config.estimate)
    )
    return truth, estimate


def _particles_alone(table: ParticleTable) -> ParticleTable:
    kinds = true_kinds(table)
    return table if kinds is None else table.take(kinds == PARTICLE)
