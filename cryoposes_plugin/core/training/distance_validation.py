"""How good a network's distances are on images it has never seen."""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional, Tuple

import keras
import numpy as np

from ..geometry.rotations import angular_distance_rad
from ..models.feature_distances import distances, raw_features
from .labels import PoseLabels
from .validation import HeldOut

#: Distances are judged apart in this many bins of [0, pi].
_BINS = 12
_FAR_RAD, _NEAR_RAD = np.deg2rad(150.0), np.deg2rad(30.0)


class Features(NamedTuple):
    """Of N images: features (N, F), and shifts (N, 2) in pixels of the network's images, or None."""

    features: np.ndarray
    shifts_px: Optional[np.ndarray] = None


def estimated_and_true(
    kind: str, features: np.ndarray, rotations: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """(M,) distances of all pairs of N images in radians: from their features, and of their true rotations."""
    first, second = np.triu_indices(len(features), 1)
    estimated = distances(kind, features, features)[first, second]
    return estimated, angular_distance_rad(rotations[first], rotations[second])


def distance_summary(kind: str, predicted: Features, truth: PoseLabels) -> Dict[str, float]:
    """Errors of the distances of all pairs of N images.

    distance_loss_rad2 : L_DE of Banjac et al. 2021, eq. 3, mean squared error with every distance equally often.
    bias_* : mean of estimated minus true distance among near and far pairs; a plateau shows as a large negative bias
    of the far ones. The error of the shift is its length in pixels of the network's images, where it is predicted and
    known.
    """
    estimated, true = estimated_and_true(kind, predicted.features, truth.rotations)
    error = estimated - true
    bins = np.minimum((true / np.pi * _BINS).astype(int), _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    squared = np.bincount(bins, error**2, _BINS)[count > 0] / count[count > 0]
    summary = {
        "images": float(len(truth.rotations)),
        "mean_distance_error_deg": float(np.rad2deg(np.abs(error).mean())),
        "median_distance_error_deg": float(np.rad2deg(np.median(np.abs(error)))),
        "distance_loss_rad2": float(squared.mean()),
        "correlation_of_distances": float(np.corrcoef(estimated, true)[0, 1])
        if np.ptp(estimated)
        else 0.0,
    }
    for name, chosen in (("near", true < _NEAR_RAD), ("far", true > _FAR_RAD)):
        if chosen.any():
            summary[f"bias_of_{name}_pairs_deg"] = float(np.rad2deg(error[chosen].mean()))
    known = truth.shift_known > 0
    if predicted.shifts_px is not None and known.any():
        missed = np.linalg.norm(predicted.shifts_px - truth.shifts_px, axis=1)[known]
        summary["median_shift_error_px"] = float(np.median(missed))
    return summary


class DistanceValidation(HeldOut):
    """Features of one network."""

    def __init__(self, network: keras.Model, source, number: int):
        super().__init__(network, source, number, raw_features)

    def predict(self) -> Tuple[Features, PoseLabels]:
        """Features and true poses of N images, float64."""
        raw, truth = self.predict_raw()
        return Features(*(array.astype(np.float64) for array in raw)), truth
