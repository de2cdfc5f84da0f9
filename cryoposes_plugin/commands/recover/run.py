"""The `recover` command: poses of particles from the distances that a network estimates between
their images.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ...core.io.error_log import not_fatal
from ...core.io.names import PARTICLES_NAME
from ...core.io.particle_files import columns_not_modelled, write_particle_results
from ...core.models.distance_model import DistanceModel
from ...core.models.embedding import Embedding, embed_copies, embed_particles
from ...core.parallel import in_order
from ...core.particles.batches import ImageBatch, batches, scan_images
from ...core.recovery.gauge import Beam, choose_beam_axis
from ...core.recovery.pairs import PairDistances, landmark_pairs
from ...core.recovery.references import rotations_from_references
from ...core.recovery.solve import Recovery
from ...core.refinement.results import worst_where
from ...core.scores import DISTANCE_RESIDUAL, OUTLIER_SCORE, POSE_SOURCE
from ...core.trust.distance_statistics import DistanceStatistics
from ...core.trust.set_judge import SetJunk, batch_statistics, judge_set
from ...core.twin_size import FEWEST_PARTICLES
from ...core.types import ParticleTable, Volume
from ..infer.inputs import ModelInputs, read_model_inputs, shift_finder, write_density
from ..recover_distances.run import recover_pairs
from ..run_directory import RunDirectory
from .checks import check_enough_particles
from .config import RecoverConfig
from .projections import embed_references, noise_of
from .report import TruePoses, recovery_notes, true_errors, write_recovery_report

logger = logging.getLogger(__name__)

#: Above this outlier score, a particle counts as an outlier.
_OUTLIER = 4
_AT_ONCE = 2048
#: Standard deviation over median absolute deviation, of a normal distribution.
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class RecoveredPoses:
    """Rotations A (N, 3, 3), and root mean square residuals (N,) of the distances in radians.

    pairs, recovery, beam : from distances between particles. reference_snr : from distances to
        projections of a volume.
    """

    rotations: np.ndarray
    residual_rad: np.ndarray
    pairs: Optional[PairDistances] = None
    recovery: Optional[Recovery] = None
    beam: Optional[Beam] = None
    reference_snr: Optional[float] = None


def check(config: RecoverConfig) -> None:
    """Raise every error that can be found before any long work."""
    config.validate()
    inputs = _read(config)
    if config.truth is not None:
        TruePoses.read(config.truth, inputs.table, config.images_from, config.passthrough)
    scan_images(inputs.table)
    if inputs.volume is not None and config.reference_snr is None:
        noise_of(inputs.images, config.seed)


def run(config: RecoverConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.star and the report; returns the metrics.

    An interrupted run continues after the last batches whose features were saved, with the same
    result.
    """
    inputs = _read(config)
    model = inputs.model
    model.card.repeat_warnings(config.model)
    write_density(config.volume, run, inputs.volume)

    def measure(batch: ImageBatch) -> np.ndarray:
        return batch_statistics(model.preprocessing, batch, np.empty((len(batch.images), 0)))

    embedding = embed_particles(model, inputs, measure, run, config.batch_size, config.threads)
    if inputs.volume is None:
        poses = _among_each_other(config, inputs, embedding)
    else:
        poses = _against_volume(config, inputs, inputs.volume, embedding)
    shifts_px, shift_source = _shifts(config, inputs, embedding, poses.rotations)

    junk = _junk(config, run, inputs, embedding, poses)
    table = _with_poses(inputs, poses, shifts_px)
    table = table.replace(scores={**table.scores, **junk.scores})
    write_particle_results(run, PARTICLES_NAME, table)
    metrics = {**_metrics(inputs, embedding, poses, table, shift_source), **junk.metrics}

    truth = None
    if config.truth is not None:
        truth = TruePoses.read(config.truth, table, config.images_from, config.passthrough)
    if truth is not None:
        metrics["particles_with_truth"] = len(truth.rows)
        logger.info(
            "recover: %d of %d particles are in %s.", len(truth.rows), len(table), config.truth
        )
        free = inputs.volume is None
        metrics["errors"] = true_errors(model, embedding, poses.rotations, truth, free, config.seed)

    notes = [
        *junk.warnings,
        *recovery_notes(config, metrics),
        *junk.notes,
        *inputs.images.remarks(),
    ]
    for note in notes:
        level = logging.WARNING if note in junk.warnings else logging.INFO
        logger.log(level, "recover: %s", note)
    with not_fatal(run.path, "its report"):
        write_recovery_report(config, run, inputs, embedding, poses, truth, metrics, notes)
    return {**metrics, "notes": notes}


def _read(config: RecoverConfig) -> ModelInputs[DistanceModel]:
    inputs = read_model_inputs(
        DistanceModel.load,
        config.model,
        config.particles,
        config.images_from,
        config.volume,
        config.passthrough,
    )
    inputs.model.card.check_tells_rotations(config.model)
    if inputs.volume is None:
        check_enough_particles(str(config.particles), len(inputs.table))
    return inputs


def _among_each_other(
    config: RecoverConfig, inputs: ModelInputs[DistanceModel], embedding: Embedding
) -> RecoveredPoses:
    """Poses from distances to landmarks among the particles; copies of some determine the direction
    of the beam.
    """
    model, number = inputs.model, len(inputs.table)
    copies = embed_copies(model, inputs, config.copies, config.batch_size, config.seed)
    features = np.concatenate([embedding.features, copies.features])

    def distance(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return model.distances(features[i[:, 0]], features[j[0]])

    pairs = landmark_pairs(distance, len(features), config.landmarks, config.seed)
    recovery = recover_pairs(config, pairs)

    beam = choose_beam_axis(
        recovery.rotations[copies.rows],
        recovery.rotations[number:],
        copies.psi_rad,
        copies.mirrored,
        half_turn=model.card.quarter_sphere,
        seed=config.seed,
    )
    return RecoveredPoses(
        beam.apply(recovery.rotations[:number]),
        recovery.residual_rad[:number],
        pairs,
        recovery,
        beam,
    )


def _against_volume(
    config: RecoverConfig, inputs: ModelInputs[DistanceModel], volume: Volume, embedding: Embedding
) -> RecoveredPoses:
    """Poses from distances to projections of the volume at known poses, in the frame of the volume."""
    references, known, snr = embed_references(
        inputs.model, inputs, volume, config.landmarks, config.reference_snr, config.seed
    )

    rotations, residuals = [], []
    for features in np.array_split(embedding.features, -(-len(embedding.features) // _AT_ONCE)):
        d = inputs.model.distances(features, references)
        found, residual = rotations_from_references(d, known)
        rotations.append(found)
        residuals.append(residual)
    return RecoveredPoses(np.concatenate(rotations), np.concatenate(residuals), reference_snr=snr)


def _junk(
    config: RecoverConfig,
    run: RunDirectory,
    inputs: ModelInputs[DistanceModel],
    embedding: Embedding,
    poses: RecoveredPoses,
) -> SetJunk:
    """Junk, by decoys whose distances to images of the set are looked at like those of the set."""
    number, model = len(inputs.table), inputs.model
    if number < FEWEST_PARTICLES:
        return SetJunk({}, {}, [], [])
    placed = DistanceStatistics(embedding.features, poses.rotations, model.distances, config.seed)

    def of_decoys(batch: ImageBatch, rows: np.ndarray) -> np.ndarray:
        found = placed(model.embed(*batch).features, rows)
        return batch_statistics(model.preprocessing, batch, found)

    def of_rows(rows: np.ndarray) -> np.ndarray:
        return placed(embedding.features[rows], rows)

    parts = batches(inputs.table, config.batch_size)
    found = np.concatenate([part for _, part in in_order(of_rows, parts, config.threads)])
    of_network = np.empty_like(found)
    of_network[np.concatenate(parts)] = found
    of_set = np.concatenate([embedding.measured, of_network], axis=1)
    return judge_set(inputs, of_set, of_decoys, run, config.batch_size, config.seed, config.threads)


def _shifts(
    config: RecoverConfig,
    inputs: ModelInputs[DistanceModel],
    embedding: Embedding,
    rotations: np.ndarray,
) -> Tuple[np.ndarray, str]:
    """(N, 2) displacements in pixels of the original images, and where they come from."""
    table, scale = inputs.table, inputs.images.scale[:, None]
    if inputs.volume is not None:
        finder = shift_finder(inputs, inputs.volume, config.max_shift_px, config.batch_size)
        shifts = np.zeros((len(table), 2))

        def find(rows: np.ndarray) -> np.ndarray:
            images, ctf, state = inputs.read_batch(rows)
            return finder.find(images, rotations[rows], ctf, state)[0].shifts_px

        for rows, found in in_order(find, batches(table, config.batch_size), config.threads):
            shifts[rows] = found
        return shifts / scale, "volume"
    if embedding.shifts_px is not None:
        return embedding.shifts_px / scale, "network"
    if table.shifts_px is not None and table.shifts_px.any():
        return table.shifts_px, "input"
    return np.zeros((len(table), 2)), "zero"


def _with_poses(
    inputs: ModelInputs[DistanceModel], poses: RecoveredPoses, shifts_px: np.ndarray
) -> ParticleTable:
    """The input with new poses, scores and pose source; all else as it was."""
    table, blank = inputs.table, inputs.images.grey.blank
    residual = worst_where(blank, np.rad2deg(poses.residual_rad))

    middle = np.median(residual[~blank])
    spread = _MAD_TO_SIGMA * np.median(np.abs(residual[~blank] - middle))
    scores = {DISTANCE_RESIDUAL: residual, OUTLIER_SCORE: (residual - middle) / max(spread, 1e-9)}
    source = np.full(len(table), inputs.pose_source.replace("network", "distances"), dtype=object)
    return table.replace(
        rotations=poses.rotations,
        shifts_px=shifts_px,
        scores=scores,  # scores of earlier poses are dropped
        extra={**table.extra, POSE_SOURCE: source},
    )


def _metrics(
    inputs: ModelInputs[DistanceModel],
    embedding: Embedding,
    poses: RecoveredPoses,
    table: ParticleTable,
    shift_source: str,
) -> Dict[str, Any]:
    card = inputs.model.card
    metrics: Dict[str, Any] = {
        "particles": len(table),
        "images_embedded_per_second": embedding.rate if embedding.rate > 0 else None,
        "preset": card.preset,
        "feature_distance": inputs.model.distance,
        "features": embedding.features.shape[1],
        "model_box_size_px": card.box_size_px,
        "model_pixel_size_angstrom": card.pixel_size_angstrom,
        "shift_source": shift_source,
        "median_distance_residual_deg": float(np.median(table.scores[DISTANCE_RESIDUAL])),
        "outliers": int((table.scores[OUTLIER_SCORE] > _OUTLIER).sum()),
        "columns_not_modelled": columns_not_modelled(table),
        **inputs.images.grey.metrics(),
    }

    if poses.recovery is not None and poses.beam is not None:
        metrics.update(
            recovery_loss_rad=poses.recovery.loss_rad,
            recovery_loss_rad2=poses.recovery.loss_rad2,
            beam_residual_deg=float(np.rad2deg(poses.beam.median_residual_rad)),
            beam_residual_of_inverse_deg=float(np.rad2deg(poses.beam.other_median_residual_rad)),
        )
    if poses.reference_snr is not None:
        metrics["reference_snr"] = poses.reference_snr
    return metrics
