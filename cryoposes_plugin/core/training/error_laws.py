"""The laws of a network's errors, found on held-out images with known poses."""

from __future__ import annotations

import dataclasses
from typing import List, Optional, Tuple

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from ..geometry.symmetry import random_rotation_error_rad, symmetric_distance_rad
from ..models.error_calibration import QUANTILES, ErrorCalibration, ErrorLaw, features_of
from ..models.pose_model import PoseModel, Prediction
from .sources import Source

#: A pose is wrong if its error is more than three times the median, within these limits.
_MEDIANS, _LEAST_DEG, _MOST_DEG = 3.0, 10.0, 40.0
#: With fewer images, there is no law.
FEWEST_IMAGES = 200
#: A case with fewer images has the same root mean square error for all.
_FEWEST_OF_CASE = 20
_LEVEL = 0.9
#: SNRs of the laws over that of the training.
SNR_FACTORS = (0.5, 1.0, 2.0)
_BATCH_SIZE = 250
#: Features outside these quantiles are moved to them.
_RANGE = (0.005, 0.995)
#: Weight of the squared slopes of the features, and of one image that is half right, half wrong.
_PRIOR = 1e-3


def calibrate_errors(
    model: PoseModel, source: Source, snr: float, number: int, group: np.ndarray
) -> Optional[ErrorCalibration]:
    """The laws of a network's errors, at the SNR of the held-out images and, where these are
    simulated, at half and twice of it; None for too few images.

    Parameters
    ----------
    model : the trained network.
    source : of the held-out images.
    snr : of these, at the box and pixel size of the network.
    number : of images for each law.
    group : (G, 3, 3) symmetry rotations.
    """
    if number < FEWEST_IMAGES:
        return None
    found = {}
    for factor in SNR_FACTORS if source.simulates else (1.0,):
        prediction, rotations = _evaluate(model, source.with_noise(factor**-0.5), number)
        found[factor] = prediction, errors_deg(prediction, rotations, group)

    basin_deg = basin_of(found[1.0][1], group)
    laws = [
        fit_error_law(prediction, error_deg, basin_deg, factor * snr)
        for factor, (prediction, error_deg) in found.items()
    ]
    return ErrorCalibration(basin_deg, tuple(laws))


def _evaluate(model: PoseModel, source: Source, number: int) -> Tuple[Prediction, np.ndarray]:
    """Predictions for the first `number` held-out images, and their true rotations (N, 3, 3)."""
    size = min(_BATCH_SIZE, number)
    images_of = tf.function(source.images)
    predictions: List[Prediction] = []
    truth = []
    for index in range(-(-number // size)):
        arrays = source.arrays(size, source.validation_step + index)
        images, labels = images_of({name: tf.constant(value) for name, value in arrays.items()})
        predictions.append(model.predict_prepared(images))
        truth.append(labels.rotations.numpy().astype(np.float64))

    def whole(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in predictions])[:number]

    names = ("rotations", "bingham_matrices", "covariance", "elsewhere")
    return Prediction(**{name: whole(name) for name in names}), np.concatenate(truth)[:number]


def basin_of(error_deg: np.ndarray, group: np.ndarray) -> float:
    """The angle in degrees above which an error is that of a wrong pose."""
    most = min(_MOST_DEG, 0.5 * np.rad2deg(random_rotation_error_rad(group)))
    return float(np.clip(_MEDIANS * np.median(error_deg), min(_LEAST_DEG, most), most))


def errors_deg(prediction: Prediction, rotations: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(N,) errors of predicted poses, modulo the symmetry group (G, 3, 3)."""
    return np.rad2deg(symmetric_distance_rad(prediction.rotations, rotations, group))


def fit_error_law(
    prediction: Prediction, error_deg: np.ndarray, basin_deg: float, snr: float
) -> ErrorLaw:
    """The law of the errors of N held-out images, by maximum likelihood.

    Parameters
    ----------
    prediction : of the images, with covariance and probability elsewhere.
    error_deg : (N,) observed errors.
    basin_deg : errors above it are those of wrong poses.
    snr : of the images.
    """
    features = features_of(np.asarray(prediction.covariance), np.asarray(prediction.elsewhere))
    lowest, highest = np.quantile(features, _RANGE, axis=0)
    design = np.insert(np.clip(features, lowest, highest), 0, 1.0, axis=1)
    error_deg = np.maximum(error_deg, 1e-3)
    is_wrong = error_deg > basin_deg

    wrong = _fit_logistic(design, is_wrong)
    cases = ((~is_wrong, (0.0, basin_deg)), (is_wrong, (basin_deg, 180.0)))
    (basin, basin_ratio), (elsewhere, elsewhere_ratio) = (
        _fit_scale(design[rows], error_deg[rows], limits) for rows, limits in cases
    )
    law = ErrorLaw(
        snr,
        wrong,
        basin,
        elsewhere,
        *_probability(design @ wrong, is_wrong),
        basin_ratio,
        elsewhere_ratio,
        lowest,
        highest,
    )

    # Distributional conformal prediction (Chernozhukov et al. 2021): the level that holds.
    below = np.sort(law.below(error_deg, features))
    rank = min(int(np.ceil(_LEVEL * (len(below) + 1))), len(below)) - 1
    return dataclasses.replace(law, level=float(np.clip(below[rank], 0.5, 1.0)))


def _probability(doubt: np.ndarray, is_wrong: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(Q,) quantiles of a score (N,), and the share of wrong poses there, which ascends; within one
    half of an image of 0 and 1.
    """
    least = 0.5 / (len(doubt) + 1)
    share = IsotonicRegression(y_min=least, y_max=1.0 - least, out_of_bounds="clip")
    share.fit(doubt, is_wrong.astype(np.float64))
    places = np.quantile(doubt, QUANTILES)
    return places, share.predict(places)


def _fit_logistic(design: np.ndarray, outcome: np.ndarray) -> np.ndarray:
    """(3,) coefficients of the logit of a probability, from (N, 3) and (N,) bool."""
    number = len(design)
    rows = np.concatenate([design, np.repeat(design.mean(axis=0)[None], 2, axis=0)])
    target = np.concatenate([outcome, [0.0, 1.0]])
    weight = np.concatenate([np.ones(number), [0.5, 0.5]])

    def loss(c: np.ndarray) -> Tuple[float, np.ndarray]:
        logit = rows @ c
        probability = 1.0 / (1.0 + np.exp(-logit))
        value = (weight * (np.logaddexp(0, logit) - target * logit)).sum() / number
        slope = rows.T @ (weight * (probability - target)) / number
        return _with_prior(c, value, slope)

    return minimize(loss, np.zeros(3), jac=True, method="BFGS").x


def _fit_scale(
    design: np.ndarray, error_deg: np.ndarray, limits_deg: Tuple[float, float]
) -> Tuple[np.ndarray, np.ndarray]:
    """(3,) coefficients of the logarithm of the mean square of errors, and (Q,) quantiles of the
    errors over its root; a few errors are taken to be spread evenly between the limits.
    """
    if len(error_deg) < _FEWEST_OF_CASE:
        error_deg = np.concatenate([error_deg, np.linspace(*limits_deg, _FEWEST_OF_CASE)])
        root = np.sqrt(np.mean(error_deg**2))
        return np.array([2 * np.log(root), 0.0, 0.0]), np.quantile(error_deg / root, QUANTILES)

    square = error_deg**2

    def loss(c: np.ndarray) -> Tuple[float, np.ndarray]:
        log_variance = design @ c
        ratio = square * np.exp(-log_variance)
        slope = design.T @ (1.0 - ratio) / len(square)
        return _with_prior(c, (ratio + log_variance).mean(), slope)

    start = np.array([np.log(square.mean()), 0.0, 0.0])
    found = minimize(loss, start, jac=True, method="BFGS").x
    return found, np.quantile(error_deg * np.exp(-0.5 * design @ found), QUANTILES)


def _with_prior(c: np.ndarray, value: float, slope: np.ndarray) -> Tuple[float, np.ndarray]:
    """Value and slope of a loss with a weak preference for coefficients of 0 of the features."""
    slopes = np.array([0.0, *c[1:]])
    return value + _PRIOR * float(slopes @ slopes), slope + 2 * _PRIOR * slopes
