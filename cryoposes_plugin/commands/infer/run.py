"""The `infer` command: a pose and its uncertainty for every particle, streamed, resumable."""

from __future__ import annotations

import logging
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ...core.io.error_log import not_fatal
from ...core.io.names import PARTICLES_NAME
from ...core.io.star import columns_not_modelled, write_particles
from ...core.io.state_files import PeriodicSave
from ...core.maps.symmetry import warn_of_symmetry
from ...core.models import uncertainty as bingham
from ...core.models.pose_model import PoseModel
from ...core.parallel import in_order
from ...core.particles.batches import batches, scan_images
from ...core.particles.contrast import warn_of_map
from ...core.progress import Progress
from ...core.refinement.refinement import NoAgreement
from ...core.refinement.shift_finder import ShiftFinder
from ...core.refinement.shift_weights import FEWEST_IMAGES
from ...core.scores import POSE_SOURCE
from ...core.types import ParticleTable
from ..refine.report import report_notes as refinement_notes
from ..run_directory import RunDirectory
from .config import InferConfig
from .inputs import Inputs, leave_density, read_inputs, shift_finder
from .refined import Refined, refined_inference, refinement_metrics, write_refined_report
from .report import report_notes, write_inference_report
from .results import DISPERSION, TRACE, UNCERTAIN, Results

logger = logging.getLogger(__name__)

#: Images that the weights of the frequencies are measured on.
_SAMPLE = 512


def check(config: InferConfig) -> None:
    """Raise what can be known to be wrong before any long work."""
    config.validate()
    inputs = read_inputs(config, PoseModel.load)
    scan_images(inputs.table)
    if inputs.volume is not None:
        warn_of_map(config.volume, inputs.volume)
        warn_of_symmetry(f"Volume {config.volume}", inputs.volume, inputs.model.card.symmetry)


def run(config: InferConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.star and the report; returns the metrics.

    An interrupted run goes on after the last batches that were saved, and ends with the same result.
    """
    inputs = read_inputs(config, PoseModel.load)
    inputs.model.card.repeat_warnings(config.model)
    leave_density(config, run, inputs.volume)
    refined, not_refined = _refined(config, run, inputs)
    if refined is not None:
        return _conclude_refined(config, run, inputs, refined)
    finder = _shift_finder(config, inputs)
    results, rate = _predict_all(config, run, inputs, finder)
    table = _with_poses(inputs, results)
    write_particles(run.file(PARTICLES_NAME), table)
    metrics = {**_metrics(inputs, results, table, rate), "not_refined": not_refined}
    notes = ([not_refined] if not_refined else []) + report_notes(config, inputs, metrics)
    for note in notes:
        logger.info("infer: %s", note)
    with not_fatal(run.path, "its report"):
        write_inference_report(run, inputs, results, finder, metrics, notes)
    return {**metrics, "notes": notes}


def _refined(
    config: InferConfig, run: RunDirectory, inputs: Inputs
) -> Tuple[Optional[Refined], Optional[str]]:
    """The refinement if it is wanted and possible, else None; and why it was not possible."""
    if inputs.volume is None or not config.refine:
        return None, None
    try:
        return refined_inference(config, run, inputs, inputs.volume), None
    except NoAgreement as error:
        return None, f"The poses are the network's, not refined: {error}"


def _conclude_refined(
    config: InferConfig, run: RunDirectory, inputs: Inputs, refined: Refined
) -> Dict[str, Any]:
    table = refined.table
    write_particles(run.file(PARTICLES_NAME), table)
    metrics = {**_common_metrics(inputs, table, refined.rate), **refinement_metrics(refined)}
    notes = list(
        dict.fromkeys([*report_notes(config, inputs, metrics), *refinement_notes(metrics)])
    )
    if refined.mirror:
        notes.insert(0, refined.mirror)
    for note in notes:
        logger.log(logging.WARNING if note == refined.mirror else logging.INFO, "infer: %s", note)
    with not_fatal(run.path, "its report"):
        write_refined_report(run, inputs, refined, metrics, notes)
    return {**metrics, "notes": notes}


def _shift_finder(config: InferConfig, inputs: Inputs) -> Optional[ShiftFinder]:
    """Where there is a volume: a finder, its weights measured on a sample of the set."""
    if inputs.volume is None:
        return None
    table, finder = inputs.table, shift_finder(config, inputs, inputs.volume)
    if len(table) < FEWEST_IMAGES:
        return finder
    # One optics group, as it has one kind of noise: the largest.
    largest = np.flatnonzero(table.optics_index == np.bincount(table.optics_index).argmax())
    sample = np.random.default_rng(config.seed).permutation(largest)[:_SAMPLE]
    pairs = []
    for start in range(0, len(sample), config.batch_size):
        images, ctf, state = inputs.read_batch(sample[start : start + config.batch_size])
        pairs.append(
            (
                images,
                finder.reprojections(
                    inputs.model.predict(images, ctf, state).rotations, ctf, state
                ),
            )
        )
    finder.calibrate(*(np.concatenate(part) for part in zip(*pairs)))
    return finder


def _predict_all(
    config: InferConfig, run: RunDirectory, inputs: Inputs, finder: Optional[ShiftFinder]
) -> Tuple[Results, float]:
    """Results of all particles, and particles a second."""
    results = Results.load(run, len(inputs.table))
    done = int(results.rows_done)
    if done:
        logger.info("Resuming after %d of %d particles.", done, len(inputs.table))
    progress = Progress(len(inputs.table), "particles", "infer", done=done)
    save = PeriodicSave(lambda: results.save(run))

    def predict(rows: np.ndarray) -> None:
        _predict_batch(inputs, finder, rows, results)

    for rows, _ in in_order(
        predict, batches(inputs.table, config.batch_size, done), config.threads
    ):
        results.rows_done += len(rows)
        progress.advance(len(rows))
        save.if_due()
    return results, progress.rate


def _predict_batch(
    inputs: Inputs, finder: Optional[ShiftFinder], rows: np.ndarray, results: Results
) -> None:
    images, ctf, state = inputs.read_batch(rows)
    prediction = inputs.model.predict(images, ctf, state)
    results.rotations[rows] = prediction.rotations
    results.dispersion[rows] = bingham.largest_dispersion(prediction.bingham)
    results.trace[rows] = bingham.trace(prediction.bingham)
    if finder is not None:
        found, _ = finder.find(images, prediction.rotations, ctf, state)
        results.shifts_px[rows], results.at_edge[rows] = found.shifts_px, found.at_edge
        results.correlation[rows] = found.correlation


def _with_poses(inputs: Inputs, results: Results) -> ParticleTable:
    """The input with new poses (for the original images), scores and pose source; all else as it was."""
    table, blank = inputs.table, inputs.images.grey.blank
    source = np.full(len(table), inputs.pose_source, dtype=object)
    return table.replace(
        rotations=results.rotations,
        shifts_px=_shifts_px(inputs, results),
        scores={
            DISPERSION: np.where(blank, UNCERTAIN, results.dispersion),
            TRACE: np.where(blank, UNCERTAIN, results.trace),
        },  # those of other poses end here
        extra={**table.extra, POSE_SOURCE: source},
    )


def _shifts_px(inputs: Inputs, results: Results) -> np.ndarray:
    """(N, 2) in pixels of the original images."""
    if inputs.volume is not None:
        return results.shifts_px / inputs.images.scale[:, None]
    given = inputs.table.shifts_px
    return np.zeros((len(inputs.table), 2)) if given is None else given


def _shift_source(inputs: Inputs) -> str:
    if inputs.volume is not None:
        return "volume"
    return "zero" if inputs.table.shifts_px is None or not inputs.table.shifts_px.any() else "input"


def _common_metrics(inputs: Inputs, table: ParticleTable, rate: float) -> Dict[str, Any]:
    """Of particles at their estimated poses, however these were found."""
    card = inputs.model.card
    shifts_angstrom = (
        np.linalg.norm(np.asarray(table.shifts_px), axis=1) * table.pixel_size_angstrom
    )
    return {
        "particles": len(table),
        "particles_per_second": rate if rate > 0 else None,
        "pose_source": inputs.pose_source,
        "symmetry": card.symmetry,
        "model_box_size_px": card.box_size_px,
        "model_pixel_size_angstrom": card.pixel_size_angstrom,
        "shift_source": _shift_source(inputs),
        "median_shift_angstrom": float(np.median(shifts_angstrom)),
        f"median_{DISPERSION}": float(np.median(table.scores[DISPERSION])),
        f"median_{TRACE}": float(np.median(table.scores[TRACE])),
        "columns_not_modelled": columns_not_modelled(table),
        "refined": False,
        **inputs.images.grey.metrics(),
    }


def _metrics(inputs: Inputs, results: Results, table: ParticleTable, rate: float) -> Dict[str, Any]:
    metrics = _common_metrics(inputs, table, rate)
    if inputs.volume is not None:
        metrics["shifts_at_edge_of_search"] = int(results.at_edge.sum())
        metrics["mean_correlation_with_reprojection"] = float(results.correlation.mean())
    return metrics
