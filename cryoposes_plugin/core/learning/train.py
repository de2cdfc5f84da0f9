"""The `train` command: from maps, particles with poses, or both, to a model folder."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import Any, Dict, Optional

import numpy as np

from ..config import TrainConfig
from ..io.run_directory import RunDirectory
from ..memory import one_sentence
from .plan import Plan, make_plan, summary, validation_number

logger = logging.getLogger(__name__)

MODEL_NAME = "model"


def check(config: TrainConfig) -> None:
    """Raise what can be known to be wrong before any long work."""
    config.validate()
    make_plan(config)


def run(config: TrainConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write model/, history.csv, learning_curve.png and report.html; returns the metrics.

    Resumes from the run's checkpoint. On one machine, with the same versions and number of threads, the weights are
    those of an uninterrupted run of the same seed and number of steps.
    """
    started = time.monotonic()
    import keras

    from .session import Session
    from .trainer import Length, Trainer
    from .validation import error_summary

    plan = make_plan(config)
    keras.utils.set_random_seed(config.seed % 2**32)
    session = Session(config, plan)
    trainer = Trainer(session, config.chosen("batch_size"))
    length = Length(_number_of_steps(config, plan), config.minutes, started)
    with one_sentence(_no_memory(config, plan)):
        done = trainer.train(run, length, config.checkpoint_minutes)
    model = session.model(done)
    prediction, truth = session.predict_apart(model)
    errors = error_summary(prediction, truth, plan.group)
    model.card = dataclasses.replace(model.card, validation=errors)
    model.save(run.file(MODEL_NAME))
    metrics = {**summary(plan), **done, "validation": errors}
    _report(run, plan, metrics, prediction, truth.rotations)
    return metrics


def _no_memory(config: TrainConfig, plan: Plan) -> str:
    """A batch is not halved: its pairs of images, its noise and batch normalisation make it one function of the seed
    and the step, and the model would be another one."""
    batch, box = config.chosen("batch_size"), plan.grid.model_box_size_px
    return (
        f"The memory does not take a batch of {batch} images of {box} px; give a smaller --batch-size, {batch // 2} "
        "say, or a smaller --model-box-size-px."
    )


def _number_of_steps(config: TrainConfig, plan: Plan) -> Optional[int]:
    """As configured, or None where minutes decide."""
    if config.steps is not None or config.epochs is None:
        return config.steps
    labelled = 0 if plan.labelled is None else len(plan.labelled) - validation_number(config, len(plan.labelled))
    images = config.images_per_epoch if plan.volumes else labelled
    return max(1, round(config.epochs * images / config.chosen("batch_size")))


def _report(run: RunDirectory, plan: Plan, metrics: Dict[str, Any], prediction, rotations: np.ndarray) -> None:
    from ..evaluation import plots
    from ..evaluation.report import write_report
    from ..geometry.symmetry import symmetric_distance_rad
    from ..uncertainty.bingham import trace
    from .history import History

    history = History(run)
    steps, median = history.column("step"), history.column("median_error_deg")
    measured = np.isfinite(median)
    columns = (steps, history.column("loss"), steps[measured], median[measured])
    curve = plots.learning_curve(*(column.tolist() for column in columns))
    degrees = np.rad2deg(symmetric_distance_rad(prediction.rotations, rotations, plan.group))
    figures = {
        "learning_curve": ("Course of the training.", curve),
        "error_histogram": ("Errors on images kept apart.", plots.error_histogram(degrees)),
        "error_against_uncertainty": (
            "Error against uncertainty.",
            plots.error_against_uncertainty(trace(prediction.bingham), degrees),
        ),
    }
    lead = "A network that estimates poses, and its errors on images that it never saw."
    write_report(run.path, "Training", lead=lead, numbers=metrics, figures=figures)
