"""The `infer` command: a pose and its uncertainty for every particle."""

from __future__ import annotations

import logging
from typing import Any, Dict

from ...core.io.error_log import not_fatal
from ...core.io.names import PARTICLES_NAME
from ...core.io.particle_files import write_particle_results
from ...core.maps.symmetry import warn_of_symmetry
from ...core.models.pose_model import PoseModel
from ...core.particles.batches import scan_images
from ...core.particles.contrast import warn_of_map
from ...core.refinement.refinement import NoAgreement
from ..report import write_report
from ..run_directory import RunDirectory
from .config import InferConfig
from .inputs import ModelInputs, read_model_inputs, write_density
from .predicted import predict_poses
from .refined import refine_hypotheses
from .report import metrics_of, notes_of, summary_of

logger = logging.getLogger(__name__)


def check(config: InferConfig) -> None:
    """Raise every error that can be found before any long work."""
    config.validate()
    inputs = _read_inputs(config)
    scan_images(inputs.table)
    if inputs.volume is not None:
        warn_of_map(config.volume, inputs.volume)
        warn_of_symmetry(f"Volume {config.volume}", inputs.volume, inputs.model.card.symmetry)


def _read_inputs(config: InferConfig) -> ModelInputs[PoseModel]:
    return read_model_inputs(
        PoseModel.load,
        config.model,
        config.particles,
        config.images_from,
        config.volume,
        config.passthrough,
    )


def run(config: InferConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.star and the report; returns the metrics.

    An interrupted run continues after the last batches that were saved, and ends with the same
    result.
    """
    inputs = _read_inputs(config)
    inputs.model.card.repeat_warnings(config.model)

    estimate, not_refined = None, None
    if inputs.volume is not None and config.refine:
        try:
            estimate = refine_hypotheses(config, run, inputs, inputs.volume)
        except NoAgreement as error:
            not_refined = f"The poses are the network's and were not refined: {error}"
    if estimate is None:
        estimate = predict_poses(config, run, inputs)
    write_density(config.volume, run, inputs.volume)
    write_particle_results(run, PARTICLES_NAME, estimate.table)

    metrics = metrics_of(config, inputs, estimate)
    if not metrics["refined"]:
        metrics["not_refined"] = not_refined
    notes = notes_of(config, inputs, estimate, metrics)
    for note in notes:
        logger.log(
            logging.WARNING if note in estimate.warnings else logging.INFO, "infer: %s", note
        )
    summary = summary_of(metrics)
    logger.info("infer: %s", summary)
    with not_fatal(run.path, "its report"):
        write_report(
            run.path,
            "Estimated poses",
            lead=f"{estimate.lead} {summary}",
            numbers=metrics,
            notes=notes,
            figures=estimate.figures(),
        )
    return {**metrics, "notes": notes}
