"""What `recover-distances` says about its rotations: numbers, notes and figures."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np

from ...core.conventions import rotations_to_quaternions
from ...core.geometry.rotations import quaternion_distance_rad
from ...core.recovery.pairs import PairDistances
from ...core.recovery.solve import Recovery, outliers

#: Above this ratio of the mean errors of held-out pairs and of the others, the rotations cannot be
#: trusted.
_HELD_OUT_RATIO = 1.3
_FEW_DISTANCES = 20
_SHOWN_PAIRS = 20000


def recovery_metrics(pairs: PairDistances, result: Recovery) -> Dict[str, Any]:
    """Numbers for metrics.json."""
    d, degrees = pairs.distance_rad, pairs.degrees
    metrics = {
        "particles": pairs.number,
        "pairs": len(pairs),
        "fewest_distances_of_a_particle": int(degrees.min()),
        "pairs_outside_0_pi": int(np.count_nonzero((d < 0) | (d > np.pi))),
        "recovery_loss_rad": result.loss_rad,
        "recovery_loss_rad2": result.loss_rad2,
        "distance_error_rad": result.noise_rad,
        "offset_of_a_particle_rad": float(np.std(result.offset_rad)),
        "expected_error_deg": float(np.rad2deg(np.sqrt(np.mean(result.expected_error_rad**2)))),
        "outliers": int(outliers(result.residual_rad, degrees).sum()),
    }

    if result.held_out_ratio is not None:
        metrics["held_out_ratio"] = result.held_out_ratio
    return metrics


def recovered_notes(metrics: Dict[str, Any]) -> List[str]:
    """Notes that are needed to interpret the numbers."""
    notes = [
        "Distances determine rotations up to a common transform: R -> A R B, and R -> R^-1. They "
        "tell neither the direction of the beam nor the hand."
    ]
    if metrics["pairs_outside_0_pi"]:
        notes.append(
            f"{metrics['pairs_outside_0_pi']} distances are below 0 or above pi, as happens with "
            "noise; they were used as they are."
        )
    if metrics.get("held_out_ratio", 1.0) > _HELD_OUT_RATIO:
        notes.append(
            f"The errors of held-out distances are {metrics['held_out_ratio']:.2f} times those of "
            "the others: there are too few distances for their noise. Do not use these rotations."
        )

    if metrics["fewest_distances_of_a_particle"] < _FEW_DISTANCES:
        notes.append(
            "Some particles have few distances (at least "
            f"{metrics['fewest_distances_of_a_particle']}); their rotations may be wrong although "
            "their residuals are small."
        )
    if metrics["outliers"]:
        notes.append(
            f"The distances of {metrics['outliers']} particles fit clearly worse than those of "
            "most; see residuals.npy."
        )
    return notes


def recovery_figures(
    pairs: PairDistances, result: Recovery, seed: int
) -> Dict[str, Tuple[str, Any]]:
    """Name -> (caption, figure)."""
    from ...core.plots import distances_against_recovered, loss_curve, residual_histogram

    shown = np.random.default_rng(seed).permutation(len(pairs))[:_SHOWN_PAIRS]
    shown.sort()
    q = rotations_to_quaternions(result.rotations)
    first = np.searchsorted(pairs.indptr, shown, side="right") - 1
    cosine = np.abs(np.einsum("na,na->n", q[first], q[pairs.second[shown]]))
    recovered = quaternion_distance_rad(cosine)
    measured = pairs.distance_rad[shown]

    return {
        "recovery_loss": (
            "Residuals during the recovery, an indication of the error.",
            loss_curve(result.history_rad2),
        ),
        "residual_histogram": (
            "Residuals of the pairs, and their root mean square for each particle.",
            residual_histogram(np.rad2deg(measured - recovered), np.rad2deg(result.residual_rad)),
        ),
        "distances": (
            "Distances as given against those of the recovered rotations.",
            distances_against_recovered(np.rad2deg(recovered), np.rad2deg(measured)),
        ),
    }
