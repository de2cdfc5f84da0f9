"""The `train` command: from maps, particles with poses, or both, to a model folder."""

from __future__ import annotations

import logging
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ...core.io.error_log import not_fatal
from ...core.io.names import MODEL_NAME
from ...core.memory import one_sentence
from ...core.particles.batches import look_at_images
from ...core.particles.contrast import warn_of_map
from ...core.training import pace
from ..imaging_inputs import write_densities
from ..run_directory import RunDirectory
from .config import TrainConfig
from .inputs import Plan, make_plan, summary, validation_number

logger = logging.getLogger(__name__)


def check(config: TrainConfig) -> None:
    """Raise what can be known to be wrong before any long work."""
    config.validate()
    plan = make_plan(config)
    for table in (plan.like, plan.labelled):
        if table is not None:
            look_at_images(table)
    for path, volume in zip(config.volume, plan.volumes):
        warn_of_map(path, volume)


def run(config: TrainConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write model/, history.csv, learning_curve.png and report.html; returns the metrics.

    Resumes from the run's checkpoint. On one machine, with the same versions and number of threads, the weights are
    those of an uninterrupted run of the same seed and number of steps.
    """
    started = pace.clock()
    import keras

    from ...core.training.trainer import Length, Trainer
    from .session import Session

    plan = make_plan(config)
    write_densities(run, plan.volumes)
    keras.utils.set_random_seed(config.seed % 2**32)
    session = Session(config, plan)
    trainer = Trainer(session, config.chosen("batch_size"))
    length = Length(_number_of_steps(config, plan), config.minutes, started)
    with one_sentence(_no_memory(config, plan)):
        done = trainer.train(run, length, config.checkpoint_minutes)
    judged, card = session.finish(run.file(MODEL_NAME), done)
    for sentence in card.warnings:
        logger.warning("%s", sentence)
    metrics = {
        **summary(plan),
        **done,
        "validation": card.validation,
        "learned_nothing": card.learned_nothing,
    }
    with not_fatal(run.path, "its report"):
        _report(run, session, metrics, judged)
    return metrics


def _no_memory(config: TrainConfig, plan: Plan) -> str:
    """A batch is not halved: its pairs of images, its noise and batch normalisation make it one function of the seed
    and the step, and the model would be another one."""
    batch, box = config.chosen("batch_size"), plan.model_grid.box_size_px
    return (
        f"The memory does not take a batch of {batch} images of {box} px; give a smaller --batch-size, {batch // 2} "
        "say, or a smaller --model-box-size-px."
    )


def _number_of_steps(config: TrainConfig, plan: Plan) -> Optional[int]:
    """As configured, or None where minutes decide."""
    if config.steps is not None or config.epochs is None:
        return config.steps
    labelled = (
        0
        if plan.labelled is None
        else len(plan.labelled) - validation_number(config, len(plan.labelled))
    )
    images = config.images_per_epoch if plan.volumes else labelled
    return max(1, round(config.epochs * images / config.chosen("batch_size")))


def _report(run: RunDirectory, session, metrics: Dict[str, Any], judged) -> None:
    from ..report import write_report
    from .pictures import learning_curve_of

    distances = session.gives_distances
    figures = {
        "learning_curve": ("Course of the training.", learning_curve_of(run.path)),
        **(_distance_figures(session, *judged) if distances else _pose_figures(session, *judged)),
    }
    what = "distances between images" if distances else "poses"
    lead = f"A network that estimates {what}, and its errors on images that it never saw."
    write_report(run.path, "Training", lead=lead, numbers=metrics, figures=figures)


def _pose_figures(session, prediction, truth) -> Dict[str, Tuple[str, Any]]:
    from ...core import plots
    from ...core.geometry.symmetry import symmetric_distance_rad
    from ...core.models.uncertainty import trace

    degrees = np.rad2deg(
        symmetric_distance_rad(prediction.rotations, truth.rotations, session.plan.group)
    )
    return {
        "error_histogram": ("Errors on images kept apart.", plots.error_histogram(degrees)),
        "error_against_uncertainty": (
            "Error against uncertainty.",
            plots.error_against_uncertainty(trace(prediction.bingham), degrees),
        ),
    }


def _distance_figures(session, predicted, truth) -> Dict[str, Tuple[str, Any]]:
    from ...core import plots
    from ...core.training.distance_validation import estimated_and_true

    kind = session.config.chosen("feature_distance")
    estimated, true = estimated_and_true(kind, predicted.features, truth.rotations)
    density = plots.distance_density(np.rad2deg(true), np.rad2deg(np.minimum(estimated, np.pi)))
    return {
        "distance_density": (
            "Estimated against true distance of pairs of images kept apart.",
            density,
        )
    }
