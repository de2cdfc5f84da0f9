"""Whether a training has learned anything: its errors on held-out images compared with those of
chance.
"""

from __future__ import annotations

from typing import Dict, Mapping, Optional

import numpy as np

from ..geometry.symmetry import symmetric_distance_rad
from ..scores import LEARNED_NOTHING
from .distance_errors import estimated_and_true

#: Figures of the model card and of the metrics: what the same estimates reach when they are
#: shuffled over the images.
CHANCE_ERROR, CHANCE_CORRELATION = "median_error_of_chance_deg", "correlation_of_chance"
_SHUFFLES = 20
#: A network has learned something if it is better than chance by this share of the median error of
#: chance, and by this many standard deviations.
_SMALLEST_GAIN, _SIGMAS = 0.1, 4.0
#: Smallest correlation of the estimated distances with the true ones.
_SMALLEST_CORRELATION = 0.1
#: The learning rate reaches its peak after this many steps.
_WARM_UP_STEPS = 50


def chance_of_poses(
    rotations: np.ndarray, truth: np.ndarray, group: np.ndarray, seed: int = 0
) -> Dict[str, float]:
    """Median error of estimates (N, 3, 3) that are shuffled over the images, which keeps symmetry
    and views.

    A network that gives every image the same pose, or poses that do not depend on the images, is no
    better.

    Parameters
    ----------
    rotations, truth : (N, 3, 3) estimated and true rotations.
    group : (G, 3, 3) symmetry rotations.
    seed : of the shuffling.
    """
    rng = np.random.default_rng(seed)
    medians = [
        np.median(symmetric_distance_rad(rotations[rng.permutation(len(truth))], truth, group))
        for _ in range(_SHUFFLES)
    ]
    return {
        CHANCE_ERROR: float(np.rad2deg(np.mean(medians))),
        f"{CHANCE_ERROR}_spread": float(np.rad2deg(np.std(medians))),
    }


def chance_of_distances(
    kind: str, features: np.ndarray, truth: np.ndarray, seed: int = 0
) -> Dict[str, float]:
    """Spread of the correlation of distances whose features are shuffled over the images.

    Parameters
    ----------
    kind : of distance, see `models.feature_distances`.
    features : (N, F) of the images.
    truth : (N, 3, 3) true rotations.
    seed : of the shuffling.
    """
    rng = np.random.default_rng(seed)
    correlations = []
    for _ in range(_SHUFFLES):
        estimated, true = estimated_and_true(kind, features[rng.permutation(len(truth))], truth)
        correlations.append(np.corrcoef(estimated, true)[0, 1] if np.ptp(estimated) else 0.0)
    return {CHANCE_CORRELATION: float(np.std(correlations))}


def poses_learned_nothing(errors: Mapping[str, float]) -> Optional[str]:
    """A sentence if the poses of a network are no better than chance, otherwise None."""
    error, chance = errors["median_error_deg"], errors[CHANCE_ERROR]
    needed_gain = max(_SMALLEST_GAIN * chance, _SIGMAS * errors[f"{CHANCE_ERROR}_spread"])
    if chance - error >= needed_gain:
        return None
    return _sentence(
        f"its median error on held-out images is {error:.0f}°, and chance gives {chance:.0f}°"
    )


def distances_learned_nothing(errors: Mapping[str, float]) -> Optional[str]:
    """A sentence if the distances of a network are no better than chance, otherwise None."""
    correlation = errors["correlation_of_distances"]
    if correlation >= max(_SMALLEST_CORRELATION, _SIGMAS * errors[CHANCE_CORRELATION]):
        return None
    return _sentence(
        "the correlation of its distances with the true ones on held-out images is "
        f"{correlation:.2f}"
    )


def _sentence(finding: str) -> str:
    remedy = "Do not use it; train longer, or check the noise level and the map."
    return f"The network {LEARNED_NOTHING}: {finding}. {remedy}"


def too_few_steps(steps: int) -> Optional[str]:
    """A sentence if a training that is limited by time was too short, otherwise None."""
    if steps >= _WARM_UP_STEPS:
        return None
    return (
        f"There was time for {steps} training steps only, and the learning rate rises over the "
        f"first {_WARM_UP_STEPS}; "
        "give more minutes."
    )
