"""Figures of the files in a run's folder, shared by the pictures of several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Mapping, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ..core import plots
from ..core.errors import InputError
from ..core.imaging.reprojections import particles_and_reprojections
from ..core.io.mrc import read_volume
from ..core.io.names import FSC_NAME, METRICS_NAME, PARTICLES_NAME, VOLUME_NAME
from ..core.io.particle_files import read_particles
from ..core.io.state_files import read_json
from ..core.particles.images import ParticleImages
from ..core.plots import direction_maps
from ..core.plots.figures import new_figure
from ..core.scores import best_ranking, cost
from ..core.types import ParticleTable
from .config import Config
from .number_tables import read_numbers

_BEST_AND_WORST = 5
_GALLERY = 18
#: Columns of the table of FSC curves, and the names of their curves.
_CURVES = {
    "unmasked": "unmasked",
    "masked": "masked",
    "corrected": "corrected",
    "randomised": "randomised phases",
    "reference": "against the reference",
}


class Picture(NamedTuple):
    """A figure that can be drawn at any time; `live` ones change while the run works."""

    title: str
    draw: Callable[[], Figure]
    live: bool = False


# ---- pictures that several commands have ------------------------------------------------------


def pose_pictures(folder: Path, config: Config) -> Dict[str, Picture]:
    """Pictures of estimated poses, of their scores, and, if the config has a volume, of its fit to
    the particles.
    """
    star = folder / PARTICLES_NAME
    if not star.exists():
        return {}

    found = {
        "uncertainty_histogram": Picture(
            "Uncertainty", lambda: uncertainty(read_particles(star), config.command)
        ),
        "direction_maps": Picture(
            "Viewing directions", lambda: directions({"estimated": read_particles(star)})
        ),
    }
    given = getattr(config, "volume", None)
    if given:
        own = folder / VOLUME_NAME
        volume = own if own.exists() else given
        found["best_and_worst"] = Picture(
            "Most and least certain particles with their reprojections",
            lambda: best_and_worst(read_particles(star), volume, config.command),
        )
    return found


def map_pictures(folder: Path, star) -> Dict[str, Picture]:
    """Pictures of a reconstruction from the particles in a STAR file; none before it is finished."""
    if not (folder / FSC_NAME).exists():
        return {}
    return {
        "volume_slices": slices(folder, "Reconstruction"),
        "fsc": Picture("Fourier shell correlation", lambda: fsc(folder)),
        "direction_maps": Picture(
            "Viewing directions", lambda: directions({"particles": read_particles(star)})
        ),
    }


def slices(folder: Path, title: str) -> Picture:
    """Central slices and projections of the run's volume."""

    def draw() -> Figure:
        volume = read_volume(folder / VOLUME_NAME)
        return plots.volume_slices(volume.data, volume.pixel_size_angstrom, title)

    return Picture("Central slices and projections", draw)


# ---- figures ----------------------------------------------------------------------------------


def uncertainty(table: ParticleTable, command: str) -> Figure:
    """Histogram of the score that the command gave; InputError if the particles have none."""
    name = score_of(table, command)
    return plots.uncertainty_histogram(table.scores[name], name=name)


def score_of(table: ParticleTable, command: str) -> str:
    """The score by which the command's particles are ranked; InputError if they have none."""
    name = best_ranking(table.scores, command)
    if name is not None:
        return name
    raise InputError(
        "The particles have no score that ranks them; estimate their poses with 'infer' first."
    )


def directions(tables: Mapping[str, ParticleTable]) -> Figure:
    """Polar and Mollweide maps of each table that has poses."""
    return direction_maps(
        {name: t.rotations for name, t in tables.items() if t.rotations is not None}
    )


def best_and_worst(
    table: ParticleTable, volume_path, command: str, number: int = _BEST_AND_WORST
) -> Figure:
    """The most and the least certain particles above the reprojections of the volume at their
    poses.

    Parameters
    ----------
    table : particles with poses and a score.
    volume_path : MRC file of the volume in the frame of the poses.
    command : whose score ranks the particles.
    number : of the most certain particles, and of the least certain ones.
    """
    name = score_of(table, command)
    order = np.argsort(cost(name, table.scores[name]), kind="stable")
    chosen = np.unique(
        np.concatenate([np.arange(len(order))[:number], np.arange(len(order))[-number:]])
    )
    rows = order[chosen]

    images, projections = particles_and_reprojections(table, read_volume(volume_path), rows)
    labels = [
        f"{'best' if i < number else 'worst'}, id {identity}"
        for i, identity in zip(chosen, table.ids[rows])
    ]
    return plots.particles_beside_reprojections(images, projections, labels)


def gallery(table: ParticleTable, number: int = _GALLERY) -> Figure:
    """The first images, unprocessed."""
    images = ParticleImages(table).read(np.arange(min(number, len(table))))
    return plots.image_gallery(images, [f"id {i}" for i in table.ids[:number]], title="Images")


def fsc(folder: Path) -> Figure:
    """The FSC curves of a run, with what its metrics say of the independence of the half maps."""
    table = read_numbers(Path(folder) / FSC_NAME)
    curves = {name: table[column] for column, name in _CURVES.items() if column in table}
    statement = saved_metrics(folder).get("fsc_statement", "")
    return plots.fsc_curve(table["frequency_per_angstrom"], curves, note=statement)


def saved_picture(path: Path) -> Figure:
    """A PNG file as a figure of its size."""
    from matplotlib.image import imread

    image = imread(path)
    figure = new_figure(image.shape[1] / 120, image.shape[0] / 120)
    axes = figure.add_subplot()
    axes.imshow(image)
    axes.set_axis_off()
    return figure


# ---- files ------------------------------------------------------------------------------------


def saved_metrics(folder) -> Dict[str, Any]:
    """metrics.json of a run; empty before the run has finished."""
    path = Path(folder) / METRICS_NAME
    return read_json(path, "delete this file and run again") if path.exists() else {}
