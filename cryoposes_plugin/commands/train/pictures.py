"""The pictures of `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.io.names import HISTORY_NAME
from ...core.training.history import DISTANCE_FIGURES, POSE_FIGURES
from ..drawing import Picture
from ..number_tables import read_numbers
from .config import TrainConfig


def pictures(folder: Path, config: TrainConfig) -> Dict[str, Picture]:
    """The learning curve, which grows while the training goes on."""
    if not (folder / HISTORY_NAME).exists():
        return {}
    return {
        "learning_curve": Picture("Learning curve", lambda: learning_curve_of(folder), live=True)
    }


def learning_curve_of(folder) -> Figure:
    """Loss and validation error of a training, from its history so far."""
    history = read_numbers(Path(folder) / HISTORY_NAME)

    def column(name: str) -> np.ndarray:
        return history.get(name, np.full(len(history.get("step", ())), np.nan))

    # The first of the validation figures is the median error, of poses or of distances.
    name = next((f[0] for f in (POSE_FIGURES, DISTANCE_FIGURES) if f[0] in history), "")
    steps, median = column("step"), column(name)
    measured = np.isfinite(median)
    return plots.learning_curve(
        steps.tolist(), column("loss").tolist(), steps[measured].tolist(), median[measured].tolist()
    )
