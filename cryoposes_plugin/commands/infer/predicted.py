"""`infer` without refinement: the network's poses; shifts are measured against the volume if there
is one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.imaging.reprojections import low_passed
from ...core.io.covariances import covariance_texts, write_covariances
from ...core.io.folder import Folder
from ...core.io.state_files import INFERENCE, PeriodicSave, read_arrays, rows_done, write_arrays
from ...core.models.pose_model import Prediction
from ...core.models.uncertainty import (
    dispersion_coefficients,
    largest_dispersion,
    total_dispersion,
)
from ...core.parallel import in_order
from ...core.particles.batches import ImageBatch, batches
from ...core.particles.chunks import ChunkedWork
from ...core.progress import Progress
from ...core.refinement.levenberg_marquardt import ANGLES
from ...core.refinement.shift_finder import ShiftFinder
from ...core.refinement.shift_weights import FEWEST_IMAGES
from ...core.scores import COVARIANCE, DISPERSION, JUNK, POSE_SOURCE, TRACE, WRONG_BASIN
from ...core.trust.image_statistics import IMAGE_COLUMNS
from ...core.trust.set_judge import SetJunk, batch_statistics, judge_set
from ...core.types import ParticleTable
from ...core.values import counted
from ..run_directory import RunDirectory
from .config import InferConfig
from .estimate import Estimate
from .expected_errors import expected_errors
from .inputs import ModelInputs, shift_finder

logger = logging.getLogger(__name__)

#: Dispersion and trace of a blank image: no orientation is more probable than another.
UNCERTAIN = 0.0
#: Columns of what the network says of an image.
_NETWORK_COLUMNS = 5
#: Number of images on which the weights of the frequencies are measured.
_SAMPLE = 512
#: Number of particles shown beside their reprojections.
_SHOWN = 8


def predict_poses(config: InferConfig, run: RunDirectory, inputs: ModelInputs) -> Estimate:
    """Poses of all particles; an interrupted run continues after the last batches that were saved."""
    finder = None  # the shifts stay
    if inputs.volume is not None and config.assign != ANGLES:
        finder = shift_finder(inputs, inputs.volume, config.max_shift_px, config.batch_size)
    predictions, rate = _predict_all(config, run, inputs, finder)
    errors = expected_errors(config, inputs, predictions.covariance, predictions.elsewhere)
    junk = _junk(config, run, inputs, predictions.statistics)
    scores = _with_junk(errors.scores, junk.scores)
    shifts_px = inputs.table.known_shifts_px
    if finder is not None:
        shifts_px = predictions.shifts_px / inputs.images.scale[:, None]
    table = _with_poses(inputs, predictions, shifts_px, scores)
    if errors.covariance is not None:
        write_covariances(run, table.ids, errors.covariance)
        texts = covariance_texts(errors.covariance)
        table = table.replace(extra={**table.extra, COVARIANCE: texts})

    metrics: Dict[str, Any] = {"refined": False, **errors.metrics, **junk.metrics}
    if finder is not None:
        metrics["shifts_at_edge_of_search"] = int(predictions.at_edge.sum())
        metrics["mean_correlation_with_reprojection"] = float(predictions.correlation.mean())
    return Estimate(
        table,
        rate,
        metrics,
        notes=[*([] if errors.warns else [errors.note]), *junk.notes],
        warnings=[*([errors.note] if errors.warns else []), *junk.warnings],
        lead=f"{counted(len(inputs.table), 'particle')}, model {inputs.pose_source}.",
        figures=lambda: _figures(inputs, predictions, finder),
    )


@dataclass(frozen=True)
class _Predictions:
    """Results of the first `rows_done` of N particles, in the order of the batches; filled in
    place.

    Attributes
    ----------
    rotations : (N, 3, 3).
    shifts_px : (N, 2), pixels of the model's images.
    at_edge : (N,) bool, whether the shift lies at the edge of the search.
    correlation : (N,), of the image with the reprojection.
    dispersion, trace : (N,), statistics of the predicted distribution.
    covariance, elsewhere : (N, 3, 3) and (N,), see `models.posterior`.
    statistics : (N, F) by which junk is told.
    rows_done : () int.
    weights : of the frequencies, by which shifts are measured; empty without a volume.
    """

    rotations: np.ndarray
    shifts_px: np.ndarray
    at_edge: np.ndarray
    correlation: np.ndarray
    dispersion: np.ndarray
    trace: np.ndarray
    covariance: np.ndarray
    elsewhere: np.ndarray
    statistics: np.ndarray
    rows_done: np.ndarray
    weights: np.ndarray

    @classmethod
    def empty(cls, number: int, weights: np.ndarray) -> _Predictions:
        return cls(
            np.zeros((number, 3, 3)),
            np.zeros((number, 2)),
            np.zeros(number, dtype=bool),
            np.zeros(number),
            np.zeros(number),
            np.zeros(number),
            np.zeros((number, 3, 3)),
            np.zeros(number),
            np.zeros((number, IMAGE_COLUMNS + _NETWORK_COLUMNS)),
            np.array(0),
            weights,
        )

    @classmethod
    def load(cls, folder: Folder, number: int, weights: np.ndarray) -> Optional[_Predictions]:
        """What was saved in a folder, or None; the weights have the shape of these."""
        path, empty = folder.file(INFERENCE), cls.empty(number, weights)
        if not path.exists():
            return None
        arrays = read_arrays(path, vars(empty))
        rows_done(path, arrays, number)
        return cls(**{name: arrays[name] for name in vars(empty)})

    def save(self, folder: Folder) -> None:
        write_arrays(folder.file(INFERENCE), vars(self))

    def put_part(self, rows: np.ndarray, part: _Predictions) -> None:
        """Take the results of some rows."""
        for name, values in vars(self).items():
            if name not in ("rows_done", "weights"):
                values[rows] = getattr(part, name)
        self.rows_done[()] += len(rows)


def _calibrate(config: InferConfig, inputs: ModelInputs, finder: ShiftFinder) -> None:
    """Measure the weights of the frequencies on a sample of the particles."""
    table = inputs.table
    if len(table) < FEWEST_IMAGES:
        return

    # The noise is that of one optics group: the sample is from the largest.
    largest = np.flatnonzero(table.optics_index == np.bincount(table.optics_index).argmax())
    sample = np.random.default_rng(config.seed).permutation(largest)[:_SAMPLE]
    pairs = []
    for start in range(0, len(sample), config.batch_size):
        images, ctf, state = inputs.read_batch(sample[start : start + config.batch_size])
        rotations = inputs.model.predict(images, ctf, state).rotations
        pairs.append((images, finder.reprojections(rotations, ctf, state)))
    finder.calibrate(*(np.concatenate(part) for part in zip(*pairs)))


def _predict_all(
    config: InferConfig, run: RunDirectory, inputs: ModelInputs, finder: Optional[ShiftFinder]
) -> Tuple[_Predictions, float]:
    """Predictions for all particles, and particles a second."""
    number, weights = len(inputs.table), np.zeros(0) if finder is None else finder.weights
    found = _Predictions.load(run, number, weights)
    if found is None and finder is not None:
        _calibrate(config, inputs, finder)
        weights = finder.weights
    predictions = found or _Predictions.empty(number, weights)
    if finder is not None:
        finder.weights = predictions.weights
    done = int(predictions.rows_done)
    if done:
        logger.info("Resuming after %d of %d particles.", done, number)

    def do(folder: Folder, rows: np.ndarray) -> None:
        part = _part(folder, len(rows), predictions)
        _work_off(config, inputs, finder, part, folder, rows)
        part.save(folder)

    def take(folder: Folder, rows: np.ndarray) -> None:
        predictions.put_part(rows, _part(folder, len(rows), predictions))

    pieces = batches(inputs.table, config.batch_size, done)
    left = np.concatenate([np.zeros(0, np.int64), *pieces])
    work = ChunkedWork(
        "predictions",
        left,
        inputs.table.ids,
        lambda: predictions.save(run),
        do,
        take,
        inputs.images,
        step=config.batch_size,
    )
    rate = run.divide(work)
    if rate is None:
        rate = _work_off(config, inputs, finder, predictions, run)
    return predictions, rate


def _part(folder: Folder, number: int, whole: _Predictions) -> _Predictions:
    """Those of a chunk, as they were saved in its folder, else empty ones."""
    found = _Predictions.load(folder, number, whole.weights)
    return found or _Predictions.empty(number, whole.weights)


def _work_off(
    config: InferConfig,
    inputs: ModelInputs,
    finder: Optional[ShiftFinder],
    predictions: _Predictions,
    folder: Folder,
    rows: Optional[np.ndarray] = None,
) -> float:
    """Make the predictions that are missing, and save them now and then; returns particles a second.

    rows : of the particles that the predictions are of; default: all.
    """
    table = inputs.table if rows is None else inputs.table.take(rows)
    own, done = np.arange(len(table)) if rows is None else rows, int(predictions.rows_done)

    def predict(places: np.ndarray) -> None:
        _predict_batch(inputs, finder, own[places], predictions, places)

    progress = Progress(len(table), "particles", "infer", done=done)
    save = PeriodicSave(lambda: predictions.save(folder))
    for places, _ in in_order(predict, batches(table, config.batch_size, done), config.threads):
        predictions.rows_done[()] += len(places)
        progress.advance(len(places))
        save.if_due()
    return progress.rate


def _predict_batch(
    inputs: ModelInputs,
    finder: Optional[ShiftFinder],
    rows: np.ndarray,
    predictions: _Predictions,
    places: np.ndarray,
) -> None:
    """Predictions of rows, put in these places."""
    batch = inputs.read_batch(rows)
    images, ctf, state = batch
    prediction = inputs.model.predict(images, ctf, state)
    predictions.statistics[places] = _statistics(inputs, batch, prediction)
    predictions.rotations[places] = prediction.rotations
    predictions.dispersion[places] = largest_dispersion(prediction.bingham_matrices)
    predictions.trace[places] = total_dispersion(prediction.bingham_matrices)
    predictions.covariance[places] = prediction.covariance
    predictions.elsewhere[places] = prediction.elsewhere
    if finder is not None:
        shifts, _ = finder.find(images, prediction.rotations, ctf, state)
        predictions.shifts_px[places] = shifts.shifts_px
        predictions.at_edge[places] = shifts.at_edge
        predictions.correlation[places] = shifts.correlation


def _statistics(inputs: ModelInputs, batch: ImageBatch, prediction: Prediction) -> np.ndarray:
    """(B, F) of images and of what the network says of them: how sure it is, and where it sees the
    centre.
    """
    coefficients = dispersion_coefficients(prediction.bingham_matrices)
    shifts = np.zeros((len(coefficients), 2))
    if prediction.shifts_px is not None:
        shifts = prediction.shifts_px
    network = [coefficients.sum(axis=1, keepdims=True), coefficients]
    network.append(np.linalg.norm(shifts, axis=1, keepdims=True))
    return batch_statistics(inputs.model.preprocessing, batch, np.concatenate(network, axis=1))


def _junk(
    config: InferConfig, run: RunDirectory, inputs: ModelInputs, of_set: np.ndarray
) -> SetJunk:
    """Junk, by decoys that the network sees too."""

    def of_batch(batch: ImageBatch, rows: np.ndarray) -> np.ndarray:
        return _statistics(inputs, batch, inputs.model.predict(*batch))

    return judge_set(inputs, of_set, of_batch, run, config.batch_size, config.seed, config.threads)


def _with_junk(errors: Dict[str, np.ndarray], junk: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Columns of both; the pose of junk is wrong."""
    scores = {**errors, **junk}
    if JUNK in scores and WRONG_BASIN in scores:
        scores[WRONG_BASIN] = 1.0 - (1.0 - scores[WRONG_BASIN]) * (1.0 - scores[JUNK])
    return scores


def _with_poses(
    inputs: ModelInputs,
    predictions: _Predictions,
    shifts_px: np.ndarray,
    errors: Dict[str, np.ndarray],
) -> ParticleTable:
    """The input with new poses, scores and pose source; everything else is unchanged.

    Parameters
    ----------
    inputs, predictions : of N particles.
    shifts_px : (N, 2) in pixels of the original images.
    errors : (N,) scores by column.
    """

    table, blank = inputs.table, inputs.images.grey.blank
    source = np.full(len(table), inputs.pose_source, dtype=object)
    return table.replace(
        rotations=predictions.rotations,
        shifts_px=shifts_px,
        scores={
            DISPERSION: np.where(blank, UNCERTAIN, predictions.dispersion),
            TRACE: np.where(blank, UNCERTAIN, predictions.trace),
            **errors,
        },  # scores of other poses are left out
        extra={**table.extra, POSE_SOURCE: source},
    )


def _figures(
    inputs: ModelInputs, predictions: _Predictions, finder: Optional[ShiftFinder]
) -> Dict[str, Tuple[str, Figure]]:
    figures = {
        "uncertainty_histogram": (
            "The more negative the score, the more certain the network; the score ranks particles "
            "and is not an angle.",
            plots.uncertainty_histogram(predictions.trace, name=TRACE),
        ),
    }
    if finder is not None:
        figures["particles_beside_reprojections"] = (
            "Particles beside the reprojections at their poses, centred and low-pass filtered, the "
            "most certain on the left.",
            _beside_reprojections(inputs, predictions, finder),
        )
    return figures


def _beside_reprojections(
    inputs: ModelInputs, predictions: _Predictions, finder: ShiftFinder
) -> Figure:
    """Some particles of the first optics group, from the most to the least certain."""
    rows = batches(inputs.table, 256)[0]
    order = rows[np.argsort(predictions.trace[rows], kind="stable")]
    chosen = order[np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).astype(int)]
    images, ctf, state = inputs.read_batch(chosen)
    reprojections = finder.reprojections(predictions.rotations[chosen], ctf, state)
    return plots.particles_beside_reprojections(
        low_passed(images, predictions.shifts_px[chosen]),
        low_passed(reprojections),
        [f"id {i}" for i in inputs.table.ids[chosen]],
    )
