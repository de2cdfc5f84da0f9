"""`recover --distances`: rotations of particles from a file of the distances between them."""

from __future__ import annotations

import logging
from typing import Any, Dict, List, Tuple

import numpy as np

from ...core.conventions import rotations_to_quaternions
from ...core.errors import InputError
from ...core.io.error_log import not_fatal
from ...core.io.names import EXPECTED_ERRORS_NAME, RESIDUALS_NAME, ROTATIONS_NAME
from ...core.recovery.minibatch import minibatch_rotations
from ...core.recovery.pairs import PairDistances, read_pairs
from ...core.recovery.solve import Recovery, as_recovery, outliers, recover_rotations
from ..run_directory import RunDirectory
from .config import RecoverConfig

logger = logging.getLogger(__name__)

#: Beyond this mean error of the pairs that were held out, relative to the others, the rotations are not to be believed.
_HELD_OUT_RATIO = 1.3
_FEW_DISTANCES = 20
_SHOWN_PAIRS = 20000


def check(config: RecoverConfig) -> None:
    """Raise what can be known to be wrong before any file is written."""
    config.validate()
    read_pairs(str(config.distances))


def run(config: RecoverConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write rotations.npy (N, 3, 3), residuals.npy and expected_errors.npy (N,) [rad], and the report."""
    pairs = read_pairs(str(config.distances))
    try:
        result = recover_pairs(config, pairs)
    except InputError as error:
        raise InputError(f"{config.distances}: {error}") from error
    for name, values in (
        (ROTATIONS_NAME, result.rotations),
        (RESIDUALS_NAME, result.residual_rad),
        (EXPECTED_ERRORS_NAME, result.expected_error_rad),
    ):
        with run.atomic(name) as part, open(part, "wb") as handle:
            np.save(handle, values, allow_pickle=False)
    metrics = recovery_metrics(pairs, result)
    logger.info(
        "recover: %d particles, %d distances, mean residual %.4g rad.",
        metrics["particles"],
        metrics["pairs"],
        metrics["recovery_loss_rad"],
    )
    with not_fatal(run.path, "its report"):
        _report(config, run, pairs, result, metrics)
    return metrics


def recover_pairs(config: RecoverConfig, pairs: PairDistances) -> Recovery:
    """By the method of the config."""
    if config.method == "spectral":
        return recover_rotations(pairs, config.seed)
    return as_recovery(
        minibatch_rotations(
            pairs,
            config.seed,
            steps=config.minibatch_steps,
            batch_size=config.minibatch_pairs,
            learning_rate=config.minibatch_rate,
            task="recover",
        )
    )


def recovery_metrics(pairs: PairDistances, result: Recovery) -> Dict[str, Any]:
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


def notes(metrics: Dict[str, Any]) -> List[str]:
    """What a reader of the numbers must know."""
    found = [
        "Distances leave a common transform open: R -> A R B, and R -> R^-1. A recovery by itself tells neither the "
        "beam's direction nor the hand."
    ]
    if metrics["pairs_outside_0_pi"]:
        found.append(
            f"{metrics['pairs_outside_0_pi']} distances lie below 0 or above pi; they were taken as they "
            "are, as noise on distances gives them."
        )
    if metrics.get("held_out_ratio", 1.0) > _HELD_OUT_RATIO:
        found.append(
            f"Distances that were held out are explained {metrics['held_out_ratio']:.2f} times worse than the "
            "others: there are too few distances for their noise, do not use these rotations."
        )
    if metrics["fewest_distances_of_a_particle"] < _FEW_DISTANCES:
        found.append(
            f"Some particles have few distances (the fewest {metrics['fewest_distances_of_a_particle']}); their "
            "rotations may be wrong while their residuals are small."
        )
    if metrics["outliers"]:
        found.append(
            f"{metrics['outliers']} particles fit clearly worse than most; see residuals.npy."
        )
    return found


def _report(
    config: RecoverConfig, run: RunDirectory, pairs: PairDistances, result: Recovery, metrics
) -> None:
    from ..report import write_report

    write_report(
        run.path,
        "Rotations from distances",
        numbers=metrics,
        notes=notes(metrics),
        figures=recovery_figures(pairs, result, config.seed),
        lead=f"{pairs.number} particles from {len(pairs)} distances of {config.distances} (method: {config.method}).",
    )


def recovery_figures(
    pairs: PairDistances, result: Recovery, seed: int
) -> Dict[str, Tuple[str, Any]]:
    """Name -> (caption, figure)."""
    from ...core.plots import distances_against_recovered, loss_curve, residual_histogram

    part = np.random.default_rng(seed).permutation(len(pairs))[:_SHOWN_PAIRS]
    part.sort()
    q = rotations_to_quaternions(result.rotations)
    first = np.searchsorted(pairs.indptr, part, side="right") - 1
    cosine = np.abs(np.einsum("na,na->n", q[first], q[pairs.second[part]]))
    recovered = 2 * np.arccos(np.minimum(cosine, 1.0))
    measured = pairs.distance_rad[part]
    return {
        "recovery_loss": (
            "Residuals in the course of the recovery: a proxy of the error.",
            loss_curve(result.history_rad2),
        ),
        "residual_histogram": (
            "Residuals: of the pairs, and their root mean square for each particle.",
            residual_histogram(np.rad2deg(measured - recovered), np.rad2deg(result.residual_rad)),
        ),
        "distances": (
            "Distances as given against those of the recovered rotations.",
            distances_against_recovered(np.rad2deg(recovered), np.rad2deg(measured)),
        ),
    }
