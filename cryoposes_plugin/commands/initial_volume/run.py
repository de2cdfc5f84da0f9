"""The `initial-volume` command: a volume and poses from the images alone, without a reference.

A search from random starts finds the shape at low resolution (`core.abinitio`) and the likeliest
pose of every particle. Rounds of refinement and reconstruction (`commands.iterate.rounds`) then
improve both.
"""

from __future__ import annotations

import csv
import logging
import shutil
from dataclasses import dataclass
from typing import Any, Dict, List

import numpy as np

from ...core.abinitio.own_symmetry import OwnSymmetry, own_symmetry
from ...core.abinitio.search import DETAIL, Search, SearchResult, likeliest_poses
from ...core.abinitio.starts import SAME_VOLUME, SearchOutcome, search_all
from ...core.abinitio.verdict import verdict
from ...core.abinitio.working_images import group_scales, read_images
from ...core.evaluation.registration import HANDS, register
from ...core.evaluation.views import (
    sampling_compensation_factor,
    smearing_sentence,
)
from ...core.fourier.resampling import resample_volume
from ...core.geometry.rotations import angular_distance_rad
from ...core.geometry.sampling import random_rotations
from ...core.geometry.symmetry import parse_symmetry, symmetry_rotations
from ...core.io.error_log import not_fatal
from ...core.io.folder import Folder
from ...core.io.mrc import read_volume, write_volume
from ...core.io.names import (
    CS_NAME,
    FSC_NAME,
    HALF1_NAME,
    HALF2_NAME,
    PARTICLES_NAME,
    REFINEMENT_NAME,
    REJECTED_NAME,
    SEARCH_HISTORY_NAME,
    SEARCH_NAME,
    VOLUME_NAME,
)
from ...core.io.particle_files import read_particles, write_particle_results, write_particles
from ...core.io.state_files import REDO, SEARCH_AXES, read_json
from ...core.maps.symmetry_axes import SymmetryAxes, find_axes
from ...core.particles.batches import scan_images
from ...core.particles.checks import check_ctf
from ...core.particles.grids import Grid, common_grid, even_grid
from ...core.particles.images import ResampledImages
from ...core.progress import Progress, Stopwatch
from ...core.scores import JUNK, POSE_SOURCE, SEARCH_CERTAINTY
from ...core.types import ParticleTable, Volume
from ...core.values import real
from ..iterate.rounds import RoundSettings, make_start, refine_in_rounds, write_best_round
from ..run_directory import RunDirectory
from .checks import check_enough_particles
from .config import InitialVolumeConfig

logger = logging.getLogger(__name__)

_FROM_REFINEMENT = (VOLUME_NAME, HALF1_NAME, HALF2_NAME, FSC_NAME, PARTICLES_NAME, CS_NAME)
#: Pixels along the field of view of the search, and the share of that field that the particle
#: takes.
SEARCH_BOX_PX = 32
DIAMETER_SHARE = 0.75
#: The refinement starts from the volume of the search, filtered this many shells below its last
#: one.
_CUT_SHELLS = 0.5
#: Two starts gave an image the same pose if the two differ by less than this.
_SAME_POSE_DEG = 15.0
#: Its own symmetry is measured this many shells below its last one.
_OWN_SHELLS = 2
_ASSIGNED_AT_ONCE = 2000
#: Keeps the random numbers of the assignment apart from those of the starts.
_ASSIGNMENT = 10**6
#: Particles that are junk with a higher probability get no pose and are no part of the volume,
#: unless fewer than so many others are left.
_MOST_JUNK, _FEWEST_SHOWN = 0.5, 20
#: The volume has the symmetry if its correlation with itself, rotated about the best axes, exceeds
#: this.
_HAS_AXES = 0.7


@dataclass(frozen=True)
class SearchInputs:
    """Particles without poses, and the grid of the search."""

    table: ParticleTable
    grid: Grid


def check(config: InitialVolumeConfig) -> None:
    """Raise every error that can be found before any long work."""
    config.validate()
    scan_images(read_inputs(config).table)


def read_inputs(config: InitialVolumeConfig) -> SearchInputs:
    """InputError or ConfigError in one sentence where parts are unusable or do not fit together."""
    parse_symmetry(config.symmetry)
    table = read_particles(
        str(config.particles), (), config.images_from, config.passthrough
    ).replace(rotations=None, shifts_px=None, scores={})
    check_ctf(table, config.particles)
    box, pixel = even_grid(table, str(config.particles))
    check_enough_particles(str(config.particles), len(table))
    config.check_images(box * pixel)
    diameter = config.diameter_angstrom or DIAMETER_SHARE * box * pixel
    view = min(box * pixel, diameter / DIAMETER_SHARE)
    return SearchInputs(table, Grid(SEARCH_BOX_PX, view / SEARCH_BOX_PX))


def run(config: InitialVolumeConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write volume.mrc and particles.star, and half maps and their FSC if there are rounds; returns
    the metrics.

    An interrupted run continues after the last start, or the last round, that was finished.
    """
    watch = Stopwatch("initial-volume")
    inputs = read_inputs(config)
    table, grid = inputs.table, inputs.grid
    images = ResampledImages(table, grid.box_size_px, grid.pixel_size_angstrom)
    scales = group_scales(images, config.seed)
    rows = np.random.default_rng(config.seed).permutation(np.flatnonzero(~images.grey.blank))
    rows = np.sort(rows[: config.search_particles])
    search = Search(read_images(images, rows, scales), _reach_px(config, inputs), config.draws)
    watch.lap("reading the images")
    part = run.inside(SEARCH_NAME)
    outcome = search_all(search, config.starts, config.seed, part, watch)
    _write_history(part, outcome)
    coarse = _coarse(config, inputs, images, scales, outcome.best.found, part)
    watch.lap("poses of all particles")
    own = own_symmetry(outcome.best.found.state.volume, DETAIL[-1].last_shell - _OWN_SHELLS)
    watch.lap("the volume's own symmetry")
    metrics = _search_metrics(inputs, outcome, len(rows), own)
    shown = coarse.table.scores[JUNK] <= _MOST_JUNK
    if shown.sum() < _FEWEST_SHOWN:
        shown = np.ones(len(shown), dtype=bool)
    metrics["junk_particles"] = int((~shown).sum())
    if not shown.all():
        _write_junk(run, coarse.table.take(~shown))

    if len(symmetry_rotations(config.symmetry)) > 1:
        metrics["symmetry_correlation"] = round(coarse.axes_correlation, 4)
    if config.rounds:
        refined = _refine(config, run, inputs, part, shown, metrics["search_resolution_angstrom"])
        metrics = {**refined, **metrics}
        watch.lap("rounds of refinement")
    else:
        _write_coarse(run, coarse, shown)
    watch.log_all()
    notes = [
        *_notes(config, metrics),
        *_told_of_symmetry(config, own),
        *_told_of_views(config, run),
        *images.remarks(),
    ]
    for note in notes:
        logger.info("initial-volume: %s", note)
    with not_fatal(run.path, "its report"):
        _report(run, metrics, notes)
    return {**metrics, "notes": notes}


@dataclass(frozen=True)
class Coarse:
    """The result of the search: all particles with their poses, the volume in the frame of its
    axes, and its correlation with itself about them (1 for C1).
    """

    table: ParticleTable
    volume: Volume
    axes_correlation: float


def _coarse(
    config: InitialVolumeConfig,
    inputs: SearchInputs,
    images: ResampledImages,
    scales: np.ndarray,
    found: SearchResult,
    part: Folder,
) -> Coarse:
    """Assign poses and find the axes, or read both back from the folder of the search."""
    state, pixel = part.file(SEARCH_AXES), inputs.grid.pixel_size_angstrom
    if state.exists():
        table = _read_back(inputs, part)
        correlation = real(
            read_json(state, REDO).get("correlation"), f"{state}: correlation", REDO, -1.0, 1.0
        )
        return Coarse(table, read_volume(part.file(VOLUME_NAME)), correlation)

    table = _assign(config, inputs, images, scales, found)
    data, correlation = found.state.volume, 1.0
    if len(symmetry_rotations(config.symmetry)) > 1:
        axes = find_axes(data, config.symmetry, DETAIL[-1].last_shell - 1)
        table, correlation = _on_axes(inputs, table, axes), axes.correlation
        data = axes.volume(data, config.symmetry)
    write_particles(part.file(PARTICLES_NAME), table)
    write_volume(part.file(VOLUME_NAME), data, pixel)
    part.write_json(SEARCH_AXES, {"correlation": correlation})
    return Coarse(table, Volume(data, pixel), correlation)


def _assign(
    config: InitialVolumeConfig,
    inputs: SearchInputs,
    source: ResampledImages,
    scales: np.ndarray,
    found: SearchResult,
) -> ParticleTable:
    """The likeliest pose of every particle for the volume that was found."""
    table, grid = inputs.table, inputs.grid
    out, shifts = np.empty((len(table), 3, 3)), np.empty((len(table), 2))
    certainty, junk = np.empty((2, len(table)))
    progress = Progress(len(table), "particles", "assign")

    for at in range(0, len(table), _ASSIGNED_AT_ONCE):
        part = np.arange(at, min(at + _ASSIGNED_AT_ONCE, len(table)))
        images = read_images(source, part, scales)
        out[part], shifts[part], certainty[part], junk[part] = likeliest_poses(
            images,
            found.state,
            _reach_px(config, inputs),
            np.random.default_rng([config.seed, _ASSIGNMENT, at]),
        )
        progress.advance(len(part))

    scale = grid.pixel_size_angstrom / table.pixel_size_angstrom
    return table.replace(
        rotations=out,
        shifts_px=shifts * scale[:, None],
        scores={
            SEARCH_CERTAINTY: np.where(source.grey.blank, 0.0, certainty),
            JUNK: np.where(source.grey.blank, 1.0, junk),
        },
        extra={**table.extra, POSE_SOURCE: np.full(len(table), "initial-volume", dtype=object)},
    )


def _reach_px(config: InitialVolumeConfig, inputs: SearchInputs) -> float:
    """Largest shift in pixels of the search."""
    return (
        config.max_shift_px
        * float(inputs.table.pixel_size_angstrom.max())
        / inputs.grid.pixel_size_angstrom
    )


def _on_axes(inputs: SearchInputs, table: ParticleTable, axes: SymmetryAxes) -> ParticleTable:
    scale = (inputs.grid.pixel_size_angstrom / table.pixel_size_angstrom)[:, None]
    rotations, moved = axes.poses(np.asarray(table.rotations), np.asarray(table.shifts_px) / scale)
    return table.replace(rotations=rotations, shifts_px=moved * scale)


def _refine(
    config: InitialVolumeConfig,
    run: RunDirectory,
    inputs: SearchInputs,
    search: Folder,
    shown: np.ndarray,
    resolution: float,
) -> Dict[str, Any]:
    """Rounds in a folder of their own, whose results become the run's; returns their metrics."""
    settings = RoundSettings(
        low_pass_angstrom=resolution,
        rounds=config.rounds,
        symmetry=config.symmetry,
        mask_diameter_angstrom=config.diameter_angstrom,
        working_box_px=config.working_box_px,
        max_shift_px=config.max_shift_px,
        batch_size=config.batch_size,
        seed=config.seed,
        threads=config.threads,
    )
    table = _read_back(inputs, search).take(shown)
    start = make_start(table, read_volume(search.file(VOLUME_NAME)), settings)

    folder = run.inside(REFINEMENT_NAME)
    best, history = refine_in_rounds(settings, folder, start)
    metrics = write_best_round(settings, folder, start, best, history)
    for name in _FROM_REFINEMENT:
        if folder.file(name).exists():  # particles.cs only of particles from cryoSPARC
            with run.atomic(name) as target:
                shutil.copyfile(folder.file(name), target)
    return metrics


def _read_back(inputs: SearchInputs, search: Folder) -> ParticleTable:
    """The particles with the poses of the search; STAR files hold no records of cryoSPARC."""
    table = read_particles(search.file(PARTICLES_NAME), require=("poses",))
    return table.replace(records=inputs.table.records)


def _write_junk(run: RunDirectory, table: ParticleTable) -> None:
    """Particles that fit nothing, with their probability of junk and without a pose."""
    extra = {name: values for name, values in table.extra.items() if name != POSE_SOURCE}
    scores = {JUNK: table.scores[JUNK]}
    table = table.replace(rotations=None, shifts_px=None, scores=scores, extra=extra)
    write_particles(run.file(REJECTED_NAME), table)


def _write_coarse(run: RunDirectory, coarse: Coarse, shown: np.ndarray) -> None:
    """Without rounds: the search's volume on the particles' grid, and its poses."""
    box, pixel = common_grid(coarse.table)
    data = resample_volume(coarse.volume.data, coarse.volume.pixel_size_angstrom, box, pixel)
    write_volume(run.file(VOLUME_NAME), data, pixel)
    write_particle_results(run, PARTICLES_NAME, coarse.table.take(shown))


def _write_history(part: Folder, outcome: SearchOutcome) -> None:
    """search.csv: the share of the power explained after each iteration of each start."""
    with part.atomic(SEARCH_HISTORY_NAME) as file, open(
        file, "w", newline="", encoding="utf-8"
    ) as handle:
        writer = csv.writer(handle)
        writer.writerow(["start", "chosen", "iteration", "explained"])
        for start, (course, detail) in enumerate(zip(outcome.courses, outcome.details)):
            chosen = int(start == outcome.chosen)
            explained = np.concatenate([course.explained, detail.explained])
            for iteration, value in enumerate(explained):
                writer.writerow([start + 1, chosen, iteration + 1, f"{value:.6f}"])


def _search_metrics(
    inputs: SearchInputs, outcome: SearchOutcome, used: int, own: OwnSymmetry
) -> Dict[str, Any]:
    found, others = outcome.best.found, np.delete(outcome.agreements, outcome.chosen)

    return {
        "particles": len(inputs.table),
        "search_particles": used,
        "search_resolution_angstrom": round(
            inputs.grid.field_of_view_angstrom / (DETAIL[-1].last_shell - _CUT_SHELLS), 2
        ),
        "search_explained_power": round(found.explained, 4),
        "search_junk_share": round(found.state.junk_share, 4),
        "search_median_certainty": round(float(np.median(found.certainty)), 4),
        "verdict": verdict(outcome.between_halves)[0],
        "own_symmetry": own.group,
        "own_axis_correlations": {f"C{n}": round(v, 3) for n, v in own.correlations.items()},
        "starts": len(outcome.courses),
        "chosen_start": outcome.chosen + 1,
        "start_log_likelihoods": [round(value, 3) for value in outcome.log_likelihoods],
        "start_agreements": [round(value, 4) for value in outcome.agreements],
        "pose_agreements": [
            round(_same_poses(detail.found.rotations, found.rotations), 4)
            for detail in outcome.details
        ],
        "agreements_between_halves": [round(value, 4) for value in outcome.between_halves],
        "starts_that_agree": 1 + int((others > SAME_VOLUME).sum()),
    }


def _same_poses(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the images whose rotations (N, 3, 3) are the same, after one rotation and hand."""
    registration = register(first, second, np.eye(3)[None], hands=HANDS)
    errors = angular_distance_rad(registration.apply(first), second)
    return float((np.rad2deg(errors) < _SAME_POSE_DEG).mean())


def _told_of_views(config: InitialVolumeConfig, run: RunDirectory) -> List[str]:
    """That views are missing, if they are."""
    table = read_particles(run.file(PARTICLES_NAME), require=("poses",))
    group, rng = symmetry_rotations(config.symmetry), np.random.default_rng(config.seed)
    found, even = (
        sampling_compensation_factor(rotations, group)
        for rotations in (np.asarray(table.rotations), random_rotations(len(table), rng))
    )
    sentence = smearing_sentence(found, even)
    return [] if sentence is None else [sentence]


def _told_of_symmetry(config: InitialVolumeConfig, own: OwnSymmetry) -> List[str]:
    """That the volume is symmetric, or nearly, where no symmetry was given."""
    sentence = own.sentence()
    given = len(symmetry_rotations(config.symmetry)) > 1
    return [] if given or sentence is None else [sentence]


def _notes(config: InitialVolumeConfig, metrics: Dict[str, Any]) -> List[str]:
    notes = [
        "The hand is arbitrary: it cannot be determined from projections. If it turns out to be "
        "the wrong one, mirror the volume and the poses."
    ]
    notes.insert(0, verdict(metrics["agreements_between_halves"])[1])

    if metrics["starts"] > 1:
        others = np.delete(metrics["pose_agreements"], metrics["chosen_start"] - 1)
        notes.append(
            f"{metrics['starts_that_agree']} of {metrics['starts']} random starts agree with the "
            "likeliest one, itself included; the others give "
            f"{' and '.join(f'{100 * share:.0f} %' for share in others)} of the particles the same "
            f"pose as it, up to {_SAME_POSE_DEG:g}°."
        )
    if metrics["junk_particles"]:
        notes.append(
            f"{metrics['junk_particles']} of {metrics['particles']} particles fit nothing that was "
            f"found (probability of junk above {_MOST_JUNK:g}); they have no pose, are no part of "
            f"the volume, and are in {REJECTED_NAME}."
        )
    if metrics.get("symmetry_correlation", 1.0) < _HAS_AXES:
        notes.append(
            f"The volume that was found without symmetry does not have {config.symmetry} symmetry "
            f"(correlation {metrics['symmetry_correlation']:.2f} about the best axes); the "
            "symmetry was imposed nevertheless."
        )
    return notes


def _report(run: RunDirectory, metrics: Dict[str, Any], notes: List[str]) -> None:
    from ..report import write_report

    lead = f"{metrics['particles']} particles, no reference."
    write_report(run.path, "Initial volume", lead=lead, numbers=metrics, notes=notes, figures={})
