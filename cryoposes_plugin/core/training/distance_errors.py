"""Errors of the distances between images that a network estimates."""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional, Tuple

import numpy as np

from ..geometry.rotations import angular_distance_rad
from ..models.feature_distances import distances
from .labels import PoseLabels

#: Bins of the true distance on [0, pi], each of which counts the same in the loss.
_BINS = 12
_FAR_RAD, _NEAR_RAD = np.deg2rad(150.0), np.deg2rad(30.0)


class Features(NamedTuple):
    """Features (N, F) of N images, and shifts (N, 2) in pixels of the network's images, or None."""

    features: np.ndarray
    shifts_px: Optional[np.ndarray] = None


def estimated_and_true(
    kind: str, features: np.ndarray, rotations: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Distances (M,) of all pairs of N images in radians, estimated from their features and true."""
    first, second = np.triu_indices(len(features), 1)
    estimated = distances(kind, features, features)[first, second]
    return estimated, angular_distance_rad(rotations[first], rotations[second])


def distance_summary(kind: str, predicted: Features, truth: PoseLabels) -> Dict[str, float]:
    """Errors of the distances between all pairs of N images.

    distance_loss_rad2 : L_DE of Banjac et al. 2021, eq. 3, mean squared error with every distance
    equally often.
    bias_* : mean of estimated minus true distance among near and far pairs; a plateau shows as a
    large negative bias of the far ones.
    median_shift_error_px : of the length of the shift error in pixels of the network's images,
    where the shift is predicted and known.
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
