"""How good a network is on images it has never seen."""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple

import keras
import numpy as np
import scipy.stats
import tensorflow as tf

from ..geometry.symmetry import symmetric_distance_rad
from ..models.pose_model import Prediction, raw_prediction, to_prediction
from ..models.uncertainty import largest_dispersion, trace
from .labels import PoseLabels, as_arrays
from .sources import VALIDATION_STEP, SimulatedSource

#: Share that the summary keeps when it leaves out the least certain images.
KEPT_SHARE = 0.75
_BATCH = 250


def error_summary(prediction: Prediction, truth: PoseLabels, group: np.ndarray) -> Dict[str, float]:
    """Angular errors in degrees against N true poses, modulo the symmetry group (G, 3, 3), and how well the
    uncertainty ranks them: Spearman's correlation of each statistic with the error (1: perfect). The error of the shift
    is its length in pixels of the network's images, where it is predicted and known."""
    error = np.rad2deg(symmetric_distance_rad(prediction.rotations, truth.rotations, group))
    scores = {
        "trace": trace(prediction.bingham),
        "dispersion": largest_dispersion(prediction.bingham),
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


class HeldOut:
    """What one network says of the first `number` images of a source, always the same ones.

    Simulated images are those of steps that training never reaches. raw : picks tensors, the images first, from the
    network's outputs.
    """

    def __init__(
        self,
        network: keras.Model,
        source,
        number: int,
        raw: Callable[[Dict[str, tf.Tensor]], Tuple[tf.Tensor, ...]],
    ):
        self.network, self.source, self.number, self.raw = network, source, number, raw
        self.batch = min(_BATCH, number)
        self.first = VALIDATION_STEP if isinstance(source, SimulatedSource) else 0

    def predict_raw(self) -> Tuple[List[np.ndarray], PoseLabels]:
        """Arrays of N images and their true poses."""
        raw, truths = [], []
        for index in range(-(-self.number // self.batch)):
            arrays = self.source.arrays(self.batch, self.first + index)
            outputs, labels = self._compiled(
                {name: tf.constant(value) for name, value in arrays.items()}
            )
            raw.append([tensor.numpy() for tensor in outputs])
            truths.append(PoseLabels(*(tensor.numpy() for tensor in labels)))
        return [np.concatenate(column)[: self.number] for column in zip(*raw)], as_arrays(
            truths, self.number
        )

    @tf.function(reduce_retracing=True)
    def _compiled(self, arrays):
        images, labels = self.source.images(arrays)
        return self.raw(self.network(images, training=False)), labels


class Validation(HeldOut):
    """Predictions of one network."""

    def __init__(self, network: keras.Model, source, number: int):
        super().__init__(network, source, number, raw_prediction)

    def predict(self) -> Tuple[Prediction, PoseLabels]:
        """Predictions and true poses, N each, float64."""
        raw, truth = self.predict_raw()
        return to_prediction(*raw), truth
