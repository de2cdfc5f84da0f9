"""The report of a training: its history, and the errors on held-out images."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np

from ...core import plots
from ...core.geometry.symmetry import symmetric_distance_rad
from ...core.models.uncertainty import total_dispersion
from ...core.training.distance_errors import estimated_and_true
from ...core.training.labels import Evaluation
from ...core.training.tasks import DistanceTask, PoseTask, Task
from ..report import write_report
from ..run_directory import RunDirectory
from .pictures import learning_curve_of

Figures = Dict[str, Tuple[str, Any]]


def write(run: RunDirectory, task: Task, evaluation: Evaluation, metrics: Dict[str, Any]) -> None:
    """Write report.html and its figures.

    Parameters
    ----------
    run : folder of the run.
    task : what the network gives.
    evaluation : of the trained network, on held-out images.
    metrics : figures of the run.
    """
    what, held_out = _CONTENTS[type(task)]
    figures: Figures = {
        "learning_curve": ("Learning curve of the training.", learning_curve_of(run.path)),
        **held_out(task, evaluation),
    }
    lead = f"A network that estimates {what}, and its errors on images that it was not trained on."
    write_report(run.path, "Training", lead=lead, numbers=metrics, figures=figures)


def _pose_figures(task: PoseTask, evaluation: Evaluation) -> Figures:
    predicted, truth = evaluation
    errors_rad = symmetric_distance_rad(predicted.rotations, truth.rotations, task.group)
    degrees = np.rad2deg(errors_rad)
    uncertainty = total_dispersion(predicted.bingham_matrices)
    return {
        "error_histogram": ("Errors on held-out images.", plots.error_histogram(degrees)),
        "error_against_uncertainty": (
            "Error against uncertainty.",
            plots.error_against_uncertainty(uncertainty, degrees),
        ),
    }


def _distance_figures(task: DistanceTask, evaluation: Evaluation) -> Figures:
    predicted, truth = evaluation
    estimated, true = estimated_and_true(task.kind, predicted.features, truth.rotations)
    density = plots.distance_density(np.rad2deg(true), np.rad2deg(np.minimum(estimated, np.pi)))
    return {
        "distance_density": (
            "Estimated against true distance of pairs of held-out images.",
            density,
        )
    }


#: What a network of the task estimates, and what makes its figures.
_CONTENTS: Dict[type, Tuple[str, Any]] = {
    PoseTask: ("poses", _pose_figures),
    DistanceTask: ("distances between images", _distance_figures),
}
