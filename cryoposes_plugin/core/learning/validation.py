"""How good a network is on images it has never seen."""

from __future__ import annotations

from typing import Dict, Tuple

import keras
import numpy as np
import scipy.stats
import tensorflow as tf

from ..geometry.symmetry import symmetric_distance_rad
from ..uncertainty.bingham import largest_dispersion, trace
from .data import VALIDATION_STEP, SimulatedSource
from .pose_model import Prediction, to_prediction
from .presets import predicted_bingham, predicted_rotations

#: Share that the summary keeps when it leaves out the least certain images.
KEPT_SHARE = 0.75
_BATCH = 250


def error_summary(prediction: Prediction, rotations: np.ndarray, group: np.ndarray) -> Dict[str, float]:
    """Angular errors in degrees against rotations (N, 3, 3), modulo the symmetry group (G, 3, 3), and how well the
    uncertainty ranks them: Spearman's correlation of each statistic with the error (1: perfect)."""
    error = np.rad2deg(symmetric_distance_rad(prediction.rotations, rotations, group))
    scores = {"trace": trace(prediction.bingham), "dispersion": largest_dispersion(prediction.bingham)}
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
        summary[f"correlation_{name}"] = 0.0 if constant else float(scipy.stats.spearmanr(score, error)[0])
    return summary


class Validation:
    """Predictions of one network for the first `number` images of a source, always the same ones.

    Simulated images are those of steps that training never reaches.
    """

    def __init__(self, network: keras.Model, source, number: int):
        self.network, self.source, self.number = network, source, number
        self.batch = min(_BATCH, number)
        self.first = VALIDATION_STEP if isinstance(source, SimulatedSource) else 0

    def predict(self) -> Tuple[Prediction, np.ndarray]:
        """Predictions and true rotations (N, 3, 3) float64."""
        parts = []
        for index in range(-(-self.number // self.batch)):
            arrays = self.source.arrays(self.batch, self.first + index)
            tensors = self._compiled({name: tf.constant(value) for name, value in arrays.items()})
            parts.append([tensor.numpy() for tensor in tensors])
        matrices, bingham, rotations = (np.concatenate(column)[: self.number] for column in zip(*parts))
        return to_prediction(matrices, bingham), rotations.astype(np.float64)

    @tf.function(reduce_retracing=True)
    def _compiled(self, arrays):
        images, rotations = self.source.images(arrays)
        outputs = self.network(images, training=False)
        return predicted_rotations(outputs), predicted_bingham(outputs), rotations
