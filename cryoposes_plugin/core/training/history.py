"""The history of a training run: history.csv, a row for every stretch of steps."""

from __future__ import annotations

import csv
import io
from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np

from ..io.folder import Folder
from ..io.names import HISTORY_NAME

#: Validation figures in the history, the median error first, of networks that give poses and of
#: those that give distances.
POSE_FIGURES = ("median_error_deg", "mean_error_deg", "p90_error_deg")
DISTANCE_FIGURES = ("median_distance_error_deg", "distance_loss_rad2")


class History:
    """Rows of step, learning rate, mean losses since the previous row and, where measured,
    validation figures.
    """

    def __init__(self, run: Folder, figures: Sequence[str], text: str = ""):
        """figures : names of the validation figures, the median error first. text : the rows so
        far, of `text`.
        """
        self.run, self.figures = run, tuple(figures)
        lines = csv.DictReader(io.StringIO(text, newline=""))
        self.rows: List[Dict[str, float]] = [
            {k: float(v) for k, v in row.items() if v} for row in lines
        ]

    def add(
        self,
        step: int,
        losses: Sequence[Mapping],
        learning_rate: float,
        errors: Optional[Mapping[str, float]],
    ) -> None:
        """Add a row.

        Parameters
        ----------
        step : number of steps done.
        losses : of every step since the previous row, by name.
        learning_rate : of the last step.
        errors : validation figures, by name, if they were measured.
        """
        row = {"step": float(step), "learning_rate": learning_rate}
        if losses:
            row.update(
                {name: float(np.mean([float(part[name]) for part in losses])) for name in losses[0]}
            )
        if errors is not None:
            row.update({name: errors[name] for name in self.figures if name in errors})
        self.rows.append(row)

    def latest(self) -> Dict[str, float]:
        """Latest loss and median validation error, for the progress line."""
        shown: Dict[str, float] = {}
        for row in self.rows:
            for name in ("loss", self.figures[0]):
                if name in row:
                    shown[name] = row[name]
        return shown

    def column(self, name: str) -> np.ndarray:
        """(rows,) float64, NaN where a row has no value."""
        return np.array([row.get(name, np.nan) for row in self.rows], dtype=np.float64)

    def text(self) -> str:
        """The rows as comma-separated values."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = io.StringIO(newline="")
        writer = csv.DictWriter(lines, names, restval="")
        writer.writeheader()
        writer.writerows([{k: f"{v:.8g}" for k, v in row.items()} for row in self.rows])
        return lines.getvalue()

    def write(self) -> None:
        """Write history.csv."""
        with self.run.atomic(HISTORY_NAME) as part, open(
            part, "w", newline="", encoding="utf-8"
        ) as handle:
            handle.write(self.text())
