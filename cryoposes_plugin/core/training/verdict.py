"""Whether a training has learned anything: its errors on images kept apart beside those of chance."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional

import numpy as np

from ..geometry.symmetry import symmetric_distance_rad
from ..scores import LEARNED_NOTHING
from .distance_validation import estimated_and_true

#: In the card's and the run's numbers: what the same estimates reach when they are dealt out to other images.
CHANCE_ERROR, CHANCE_CORRELATION = "median_error_of_chance_deg", "correlation_of_chance"
_DEALS = 20
#: Better than chance by less than this share of its median error, or by fewer standard deviations, is nothing.
_SMALLEST_GAIN, _SIGMAS = 0.1, 4.0
#: Of the estimated distances with the true ones.
_SMALLEST_CORRELATION = 0.1
#: Fewer steps than these do not even let the learning rate rise to its peak.
_WARM_UP_STEPS = 50


def chance_of_poses(
    rotations: np.ndarray, truth: np.ndarray, group: np.ndarray, seed: int = 0
) -> Dict[str, float]:
    """Median error of estimates (N, 3, 3) that are dealt out anew to the images: of the same symmetry and views.

    A network that gives every image one pose, or poses that have nothing to do with the images, is no better.
    """
    rng = np.random.default_rng(seed)
    medians = [
        np.median(symmetric_distance_rad(rotations[rng.permutation(len(truth))], truth, group))
        for _ in range(_DEALS)
    ]
    return {
        CHANCE_ERROR: float(np.rad2deg(np.mean(medians))),
        f"{CHANCE_ERROR}_spread": float(np.rad2deg(np.std(medians))),
    }


def chance_of_distances(
    kind: str, features: np.ndarray, truth: np.ndarray, seed: int = 0
) -> Dict[str, float]:
    """Spread of the correlation of distances whose features (N, F) are dealt out anew to the images."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(_DEALS):
        estimated, true = estimated_and_true(kind, features[rng.permutation(len(truth))], truth)
        found.append(np.corrcoef(estimated, true)[0, 1] if np.ptp(estimated) else 0.0)
    return {CHANCE_CORRELATION: float(np.std(found))}


def verdict(errors: Mapping[str, float]) -> Optional[str]:
    """A sentence where the errors of a model are those of chance; None where it has learned something."""
    if CHANCE_ERROR in errors:
        error, chance = errors["median_error_deg"], errors[CHANCE_ERROR]
        least = max(_SMALLEST_GAIN * chance, _SIGMAS * errors[f"{CHANCE_ERROR}_spread"])
        if chance - error >= least:
            return None
        found = (
            f"the median error on images kept apart is {error:.0f}°, and chance gives {chance:.0f}°"
        )
    elif CHANCE_CORRELATION in errors:
        correlation = errors["correlation_of_distances"]
        if correlation >= max(_SMALLEST_CORRELATION, _SIGMAS * errors[CHANCE_CORRELATION]):
            return None
        found = (
            f"its distances on images kept apart correlate with the true ones by {correlation:.2f}"
        )
    else:
        return None
    return f"The network {LEARNED_NOTHING}: {found}. Do not use it; train longer, or look at the noise and the map."


def warnings_of(errors: Mapping[str, float], steps: int, limited_by_time: bool) -> List[str]:
    """What a user of the model must know."""
    found = [sentence for sentence in [verdict(errors)] if sentence]
    if limited_by_time and steps < _WARM_UP_STEPS:
        found.append(
            f"The time was enough for {steps} training steps, fewer than the {_WARM_UP_STEPS} that training begins "
            "with; give more minutes."
        )
    return found
