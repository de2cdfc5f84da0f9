"""The pictures of `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.io.names import HISTORY_NAME
from ..drawing import Picture, columns
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
    history = columns(Path(folder) / HISTORY_NAME)

    def column(name: str) -> np.ndarray:
        return history.get(name, np.full(len(history.get("step", ())), np.nan))

    # the error of poses, or of the distances of a network that estimates these
    steps, median = column("step"), column("median_error_deg")
    if not np.isfinite(median).any():
        median = column("median_distance_error_deg")

    measured = np.isfinite(median)
    return plots.learning_curve(
        steps.tolist(), column("loss").tolist(), steps[measured].tolist(), median[measured].tolist()
    )
