"""The pictures of a run, drawn anew from the files in its folder: what viewers open and reports hold.

Nothing but the folder is needed, so that a run is shown while it works, and after it on another machine.
"""

from __future__ import annotations

import csv
import logging
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from ..core.errors import CryoposesError, InputError
from ..core.imaging.reprojections import particles_and_reprojections
from ..core.io.error_log import not_fatal
from ..core.io.ids import join
from ..core.io.mrc import read_volume
from ..core.io.star import read_particles
from ..core.io.state_files import read_json
from ..core.particles.images import ParticleImages
from ..core.plots import plots
from ..core.plots.directions import direction_maps
from ..core.plots.figures import new_figure
from ..core.scores import best_ranking, cost
from ..core.types import ParticleTable
from .config import Config
from .filter.run import accept
from .registry import CONFIGS
from .run_directory import CONFIG_NAME, METRICS_NAME

logger = logging.getLogger(__name__)

HISTORY_NAME, SEARCH_HISTORY_NAME = "history.csv", "search.csv"
#: What saved pictures are called whose file's name says too little.
_SAVED_TITLES = {
    "agreement": "Strength of the volume and of the noise in the images",
    "expected_error": "Expected errors",
    "moved": "How far the poses moved",
    "recovery_loss": "Residuals in the course of the recovery",
    "residual_histogram": "Residuals of pairs and of particles",
    "distances": "Distances by the network against those of the poses",
    "distance_density": "Distances by the network against true ones",
}
_BEST_AND_WORST = 5
_GALLERY = 18
_PAIRS = 20000


class Picture(NamedTuple):
    """A figure that can be drawn at any time; `live` ones change while the run works."""

    title: str
    draw: Callable[[], Figure]
    live: bool = False


def pictures_of(folder) -> Dict[str, Picture]:
    """Name -> picture of the run in this folder, in the order in which they are best looked at.

    Pictures that the run saved and that cannot be drawn from its files alone are shown as saved.
    """
    folder = Path(folder)
    config = read_config(folder)
    if config is None:
        return {}
    found = _PICTURES.get(config.command, _no_pictures)(folder, config)
    for path in sorted(folder.glob("*.png")):
        title = path.stem.replace("_", " ")
        title = _SAVED_TITLES.get(path.stem, title[:1].upper() + title[1:])
        saved = partial(saved_picture, path)
        drawn = found.get(path.stem)
        if drawn is None:
            found[path.stem] = Picture(title, saved)
        else:
            found[path.stem] = drawn._replace(draw=partial(_drawn_or_saved, drawn.draw, saved))
    return found


def _drawn_or_saved(draw: Callable[[], Figure], saved: Callable[[], Figure]) -> Figure:
    """The files that it is drawn from may be gone: images that were converted are not kept."""
    try:
        return draw()
    except CryoposesError:
        return saved()


def read_config(folder) -> Optional[Config]:
    """The config of the run in this folder; None where there is no run of a known command."""
    path = Path(folder) / CONFIG_NAME
    if not path.is_file():
        return None
    saved = read_json(path, "delete the folder of this run")
    config_class = CONFIGS.get(str(saved.get("command")))
    return None if config_class is None else config_class.from_dict(saved)


def saved_picture(path) -> Figure:
    """A PNG file as a figure of its size."""
    from matplotlib.image import imread

    image = imread(path)
    figure = new_figure(image.shape[1] / 120, image.shape[0] / 120)
    axes = figure.add_subplot()
    axes.imshow(image)
    axes.set_axis_off()
    return figure


def _no_pictures(folder: Path, config: Config) -> Dict[str, Picture]:
    return {}


# ---- simulate, train ----------------------------------------------------------------------------------------------


def _simulate(folder: Path, config) -> Dict[str, Picture]:
    star = folder / "particles.star"
    if not star.exists():
        return {}
    return {
        "images": Picture("Some of the images", lambda: gallery(read_particles(star))),
        "direction_maps": Picture(
            "Viewing directions", lambda: directions({"simulated": read_particles(star)})
        ),
    }


def _train(folder: Path, config) -> Dict[str, Picture]:
    if not (folder / HISTORY_NAME).exists():
        return {}
    return {"learning_curve": Picture("Learning curve", lambda: learning_curve(folder), live=True)}


def learning_curve(folder) -> Figure:
    """From history.csv as it stands."""
    with open(Path(folder) / HISTORY_NAME, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))

    def column(name: str) -> np.ndarray:
        return np.array([float(row.get(name) or "nan") for row in rows])

    # of poses, or of the distances of a network that gives these
    steps, median = column("step"), column("median_error_deg")
    median = median if np.isfinite(median).any() else column("median_distance_error_deg")
    measured = np.isfinite(median)
    return plots.learning_curve(
        steps.tolist(), column("loss").tolist(), steps[measured].tolist(), median[measured].tolist()
    )


# ---- infer, filter ------------------------------------------------------------------------------------------------


def _infer(folder: Path, config) -> Dict[str, Picture]:
    star = folder / "particles.star"
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
    if config.volume:
        own = folder / "volume.mrc"
        volume = own if own.exists() else config.volume
        found["best_and_worst"] = Picture(
            "Most and least certain particles beside the reprojection",
            lambda: best_and_worst(read_particles(star), volume, config.command),
        )
    return found


def _filter(folder: Path, config) -> Dict[str, Picture]:
    if not all((folder / f"{name}.star").exists() for name in ("accepted", "rejected")):
        return {}
    everything = read_particles(config.particles, images_from=config.images_from)
    accepted = accept(config, everything)
    threshold = _metrics(folder).get("threshold")

    def maps() -> Figure:
        parts = {
            "all": everything,
            "accepted": everything.take(accepted),
            "rejected": everything.take(~accepted),
        }
        return directions({name: table for name, table in parts.items() if len(table)})

    found = {
        "uncertainty_histogram": Picture(
            "Uncertainty, the accepted part marked",
            lambda: plots.uncertainty_histogram(
                everything.scores[config.score], accepted, config.score, threshold
            ),
        )
    }
    if everything.rotations is not None:
        found["direction_maps"] = Picture("Viewing directions: all, accepted, rejected", maps)
    return found


def uncertainty(table: ParticleTable, command: str) -> Figure:
    """Histogram of the score that the command gave; InputError if the particles have none."""
    name = score_of(table, command)
    return plots.uncertainty_histogram(table.scores[name], name=name)


def score_of(table: ParticleTable, command: str) -> str:
    name = best_ranking(table.scores, command)
    if name is not None:
        return name
    raise InputError(
        "The particles have no score of certainty; estimate their poses with 'infer' first."
    )


def directions(tables: Dict[str, ParticleTable]) -> Figure:
    """Polar and Mollweide maps of each table that has poses."""
    return direction_maps(
        {name: t.rotations for name, t in tables.items() if t.rotations is not None}
    )


def best_and_worst(
    table: ParticleTable, volume_path, command: str, number: int = _BEST_AND_WORST
) -> Figure:
    """The most and the least certain particles above the reprojections of the volume at their poses."""
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
    """The first images, as they are."""
    images = ParticleImages(table).read(np.arange(min(number, len(table))))
    return plots.image_gallery(images, [f"id {i}" for i in table.ids[:number]], title="Images")


# ---- initial volume ----------------------------------------------------------------------------------------------


def _initial_volume(folder: Path, config) -> Dict[str, Picture]:
    if not (folder / "volume.mrc").exists():
        return {}
    course = Picture("The search", lambda: search_course(folder / "search" / SEARCH_HISTORY_NAME))
    if (folder / "fsc.csv").exists():
        return {"search": course, **_reconstruct(folder, config)}

    def slices() -> Figure:
        volume = read_volume(folder / "volume.mrc")
        return plots.volume_slices(volume.data, volume.pixel_size_angstrom, "Initial volume")

    star = folder / "particles.star"
    return {
        "search": course,
        "volume_slices": Picture("Central slices and projections", slices),
        "direction_maps": Picture(
            "Viewing directions", lambda: directions({"particles": read_particles(star)})
        ),
    }


def search_course(path) -> Figure:
    """From search.csv: the share of the images' power that each start explains."""
    columns = _columns(Path(path))
    starts = np.unique(columns["start"])
    courses = [columns["explained"][columns["start"] == start] for start in starts]
    chosen = [bool(columns["chosen"][columns["start"] == start].any()) for start in starts]
    return plots.search_course(courses, chosen)


# ---- reconstruct, compare -----------------------------------------------------------------------------------------

#: Columns of fsc.csv and what their curves are called.
_CURVES = {
    "unmasked": "unmasked",
    "masked": "masked",
    "corrected": "corrected",
    "randomised": "randomised phases",
    "reference": "against the reference",
}


def _reconstruct(folder: Path, config) -> Dict[str, Picture]:
    if not (folder / "fsc.csv").exists():
        return {}

    def slices() -> Figure:
        volume = read_volume(folder / "volume.mrc")
        return plots.volume_slices(volume.data, volume.pixel_size_angstrom, "Reconstruction")

    # a run that refined too has particles of its own
    star = (
        folder / "particles.star"
        if config.command in ("iterate", "initial-volume")
        else config.particles
    )
    return {
        "volume_slices": Picture("Central slices and projections", slices),
        "fsc": Picture("Fourier shell correlation", lambda: fsc(folder)),
        "direction_maps": Picture(
            "Viewing directions", lambda: directions({"particles": read_particles(star)})
        ),
    }


def fsc(folder) -> Figure:
    """The curves of fsc.csv, with what metrics.json says of their independence."""
    with open(Path(folder) / "fsc.csv", newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    curves = {
        name: np.array([float(row[column]) for row in rows])
        for column, name in _CURVES.items()
        if column in rows[0]
    }
    frequency = np.array([float(row["frequency_per_angstrom"]) for row in rows])
    return plots.fsc_curve(frequency, curves, note=_metrics(folder).get("fsc_statement", ""))


def _compare(folder: Path, config) -> Dict[str, Picture]:
    if not (folder / "errors.csv").exists():
        return {}
    errors = _columns(folder / "errors.csv")
    found = {
        "error_histogram": Picture(
            "Angular errors", lambda: plots.error_histogram(errors["angular_error_deg"])
        ),
        "distance_density": Picture(
            "Estimated against true distances of pairs",
            lambda: distances(*_compared(config), config.symmetry, config.join_by),
        ),
        "direction_maps": Picture(
            "Viewing directions",
            lambda: directions(dict(zip(("true", "estimated"), _compared(config)))),
        ),
    }
    score = best_ranking(errors)
    if score is not None:
        found["error_against_uncertainty"] = Picture(
            "Error against uncertainty",
            lambda: plots.error_against_uncertainty(
                errors[score], errors["angular_error_deg"], score
            ),
        )
    return found


def _compared(config) -> Tuple[ParticleTable, ParticleTable]:
    truth, estimate = (
        read_particles(p, images_from=config.images_from) for p in (config.truth, config.estimate)
    )
    return truth, estimate


def distances(
    truth: ParticleTable, estimate: ParticleTable, symmetry: str = "C1", join_by: str = "auto"
) -> Figure:
    """Density of estimated against true distances of randomly drawn pairs of particles."""
    true_deg, estimated_deg = pair_distances_deg(truth, estimate, symmetry, _PAIRS, join_by)
    return plots.distance_density(true_deg, estimated_deg)


def pair_distances_deg(
    truth: ParticleTable, estimate: ParticleTable, symmetry: str, pairs: int, join_by: str = "auto"
) -> Tuple[np.ndarray, np.ndarray]:
    """(M,) true and estimated distances in degrees, modulo the symmetry, of pairs drawn with seed 0."""
    from ..core.geometry.symmetry import symmetric_distance_rad, symmetry_rotations

    if truth.rotations is None or estimate.rotations is None:
        raise InputError("Distances need poses on both sides; give particles with poses.")
    rows, other = join(truth, estimate, join_by)[:2]
    if len(rows) < 2:
        raise InputError(f"The two sets have {len(rows)} particles in common; distances need two.")
    rng = np.random.default_rng(0)
    first = rng.integers(0, len(rows), pairs)
    second = (first + rng.integers(1, len(rows), pairs)) % len(rows)
    group = symmetry_rotations(symmetry)
    true_rad, estimated_rad = (
        symmetric_distance_rad(rotations[chosen[first]], rotations[chosen[second]], group)
        for rotations, chosen in ((truth.rotations, rows), (estimate.rotations, other))
    )
    return np.rad2deg(true_rad), np.rad2deg(estimated_rad)


def _columns(path: Path) -> Dict[str, np.ndarray]:
    with open(path, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return {
        name: np.array([float(row[name]) for row in rows]) for name in (rows[0] if rows else {})
    }


def _metrics(folder) -> Dict:
    path = Path(folder) / METRICS_NAME
    return read_json(path, "delete this file and run again") if path.exists() else {}


_PICTURES: Dict[str, Callable[[Path, Config], Dict[str, Picture]]] = {
    "simulate": _simulate,
    "initial-volume": _initial_volume,
    "train": _train,
    "infer": _infer,
    "refine": _infer,
    "recover": _infer,
    "filter": _filter,
    "reconstruct": _reconstruct,
    "iterate": _reconstruct,
    "compare": _compare,
}


def complete_report(folder, leave_out: Sequence[str] = ()) -> List[str]:
    """Add to the run's report the pictures that it has not yet; returns their names.

    A picture that cannot be drawn (images that have moved, say) is left out with a warning: the results stand.
    """
    from .report import REPORT_NAME, append_figures, holds_figure

    folder = Path(folder)
    if not (folder / REPORT_NAME).exists():
        return []
    figures, page = {}, (folder / REPORT_NAME).read_text(encoding="utf-8")
    for name, picture in pictures_of(folder).items():
        if name in leave_out or holds_figure(page, name):
            continue
        with not_fatal(folder, f"the picture '{picture.title}'"):
            try:
                figures[name] = (f"{picture.title}.", picture.draw())
            except CryoposesError as error:
                logger.warning("The report goes without '%s': %s", picture.title, error)
    append_figures(folder, figures)
    return list(figures)
