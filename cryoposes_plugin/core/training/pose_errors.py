"""Errors of the poses that a network estimates."""

from __future__ import annotations

from typing import Dict

import numpy as np
import scipy.stats

from ..geometry.symmetry import symmetric_distance_rad
from ..models.pose_model import Prediction
from ..models.uncertainty import largest_dispersion, total_dispersion
from .labels import PoseLabels

#: Share of the images that is left without the least certain ones.
KEPT_SHARE = 0.75


def error_summary(prediction: Prediction, truth: PoseLabels, group: np.ndarray) -> Dict[str, float]:
    """Angular errors in degrees of N predicted poses, modulo the symmetry group (G, 3, 3).

    correlation_* : Spearman's correlation of each uncertainty with the error; 1 is perfect.
    median_shift_error_px : of the length of the shift error in pixels of the network's images,
    where the shift is predicted and known.
    """
    error = np.rad2deg(symmetric_distance_rad(prediction.rotations, truth.rotations, group))
    scores = {
        "trace": total_dispersion(prediction.bingham_matrices),
        "dispersion": largest_dispersion(prediction.bingham_matrices),
    }
    kept = scores["trace"] <= np.quantile(scores["trace"], KEPT_SHARE)

    summary = {
        "images": float(len(error)),
        "median_error_deg": float(np.median(error)),
        "mean_error_deg": float(error.mean()),
        "p90_error_deg": float(np.quantile(error, 0.9)),
        "share_below_5_deg": float((error < 5).mean()),
        "median_error_of_kept_deg": float(np.median(error[kept])),
        "mean_error_of_kept_deg": float(error[kept].mean()),
    }

    for name, score in scores.items():
        constant = np.ptp(score) == 0 or np.ptp(error) == 0
        summary[f"correlation_{name}"] = (
            0.0 if constant else float(scipy.stats.spearmanr(score, error)[0])
        )

    known = truth.shift_known > 0
    if prediction.shifts_px is not None and known.any():
        missed = np.linalg.norm(prediction.shifts_px - truth.shifts_px, axis=1)[known]
        summary["median_shift_error_px"] = float(np.median(missed))
    return summary
