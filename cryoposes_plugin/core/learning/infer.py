"""The `infer` command: a pose and its uncertainty for every particle, streamed, resumable."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

import numpy as np

from ..config import InferConfig
from ..io.run_directory import RunDirectory
from ..io.star import POSE_SOURCE, write_particles
from ..progress import Progress
from ..types import ParticleTable
from ..uncertainty import bingham
from .inference_inputs import Inputs, batches, columns_not_modelled, read_inputs, scan_images
from .shift_finder import ShiftFinder
from .shift_weights import FEWEST_IMAGES

logger = logging.getLogger(__name__)

STAR_NAME, STATE_NAME = "particles.star", "inference_state.npz"
DISPERSION, TRACE = "cryoposesDispersion", "cryoposesTrace"
_SAVE_SECONDS = 20.0
_SAMPLE = 512
_SHOWN = 8


def check(config: InferConfig) -> None:
    """Raise what can be known to be wrong before any long work."""
    config.validate()
    scan_images(read_inputs(config).table)


def run(config: InferConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.star and the report; returns the metrics.

    An interrupted run goes on after the last batches that were saved, and ends with the same result.
    """
    inputs = read_inputs(config)
    finder = _shift_finder(config, inputs)
    results, rate = _predict_all(config, run, inputs, finder)
    table = _with_poses(inputs, results)
    write_particles(run.file(STAR_NAME), table)
    metrics = _metrics(inputs, table, results, rate)
    notes = report_notes(config, inputs, metrics)
    for note in notes:
        logger.info("infer: %s", note)
    write_inference_report(run, inputs, results, finder, metrics, notes)
    run.file(STATE_NAME).unlink(missing_ok=True)
    return {**metrics, "notes": notes}


def _shift_finder(config: InferConfig, inputs: Inputs) -> Optional[ShiftFinder]:
    """Made, and its weights measured on a sample of the set, where there is a volume."""
    if inputs.volume is None:
        return None
    card, table = inputs.model.card, inputs.table
    finder = ShiftFinder(
        inputs.volume,
        card.box_size_px,
        card.pixel_size_angstrom,
        config.max_shift_px,
        min(config.batch_size, len(table)),
    )
    if len(table) < FEWEST_IMAGES:
        return finder
    sample = np.random.default_rng(config.seed).choice(len(table), min(_SAMPLE, len(table)), replace=False)
    pairs = []
    for rows in batches(table.take(np.sort(sample)), config.batch_size):
        rows = np.sort(sample)[rows]
        images, ctf, state = inputs.read_batch( rows)
        pairs.append((images, finder.reprojections(inputs.model.predict(images, ctf, state).rotations, ctf, state)))
    finder.calibrate(*(np.concatenate(part) for part in zip(*pairs)))
    return finder


def _predict_all(config: InferConfig, run: RunDirectory, inputs: Inputs, finder: Optional[ShiftFinder]):
    """Results of all particles, and particles a second."""
    parts = batches(inputs.table, config.batch_size)
    results = _load(run, len(inputs.table))
    first = int(results.batches_done)
    done = sum(len(rows) for rows in parts[:first])
    if first:
        logger.info("Resuming after %d of %d particles.", done, len(inputs.table))
    progress = Progress(len(inputs.table), "particles", "infer", done=done)
    saved = time.monotonic()
    for rows in parts[first:]:
        _predictinputs.read_batch( finder, rows, results)
        results.batches_done += 1
        progress.advance(len(rows))
        if time.monotonic() - saved > _SAVE_SECONDS:
            _save(run, results)
            saved = time.monotonic()
    return results, progress.rate


def _predict_batch(inputs: Inputs, finder: Optional[ShiftFinder], rows: np.ndarray, results: Results) -> None:
    images, ctf, state = inputs.read_batch( rows)
    prediction = inputs.model.predict(images, ctf, state)
    results.rotations[rows] = prediction.rotations
    results.dispersion[rows] = bingham.largest_dispersion(prediction.bingham)
    results.trace[rows] = bingham.trace(prediction.bingham)
    if finder is not None:
        found, _ = finder.find(images, prediction.rotations, ctf, state)
        results.shifts_px[rows], results.at_edge[rows] = found.shifts_px, found.at_edge
        results.correlation[rows] = found.correlation


def _save(run: RunDirectory, results: Results) -> None:
    with run.atomic(STATE_NAME) as part, open(part, "wb") as handle:
        np.savez(handle, **vars(results))


def _load(run: RunDirectory, number: int) -> Results:
    path = run.file(STATE_NAME)
    if not path.exists():
        return Results.empty(number)
    with np.load(path, allow_pickle=False) as state:
        results = Results(**{name: state[name] for name in state.files})
    return results if len(results.rotations) == number else Results.empty(number)


def _with_poses(inputs: Inputs, results: Results) -> ParticleTable:
    """The input with new poses (for the original images), scores and pose source; all else as it was."""
    table = inputs.table
    shifts = table.shifts_px if table.shifts_px is not None else np.zeros((len(table), 2))
    if inputs.volume is not None:
        shifts = results.shifts_px / inputs.images.scale[:, None]
    source = np.full(len(table), inputs.pose_source, dtype=object)
    return table.replace(
        rotations=results.rotations,
        shifts_px=shifts,
        scores={**table.scores, DISPERSION: results.dispersion, TRACE: results.trace},
        extra={**table.extra, POSE_SOURCE: source},
    )


def _shift_source(inputs: Inputs) -> str:
    if inputs.volume is not None:
        return "volume"
    return "zero" if inputs.table.shifts_px is None or not inputs.table.shifts_px.any() else "input"


def _metrics(inputs: Inputs, table: ParticleTable, results: Results, rate: float) -> Dict[str, Any]:
    shifts_angstrom = np.linalg.norm(table.shifts_px * table.pixel_size_angstrom[:, None], axis=1)
    card = inputs.model.card
    metrics: Dict[str, Any] = {
        "particles": len(table),
        "particles_per_second": rate if rate > 0 else None,
        "pose_source": inputs.pose_source,
        "symmetry": card.symmetry,
        "model_box_size_px": card.box_size_px,
        "model_pixel_size_angstrom": card.pixel_size_angstrom,
        "shift_source": _shift_source(inputs),
        "median_shift_angstrom": float(np.median(shifts_angstrom)),
        f"median_{DISPERSION}": float(np.median(results.dispersion)),
        f"median_{TRACE}": float(np.median(results.trace)),
        "columns_not_modelled": columns_not_modelled(table),
    }
    if inputs.volume is not None:
        metrics["shifts_at_edge_of_search"] = int(results.at_edge.sum())
        metrics["mean_correlation_with_reprojection"] = float(results.correlation.mean())
    return metrics
