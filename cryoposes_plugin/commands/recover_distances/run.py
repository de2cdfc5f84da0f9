"""The `recover-distances` command: rotations of particles from a file of the distances between
them.
"""

from __future__ import annotations

import logging
from typing import Any, Dict

import numpy as np

from ...core.errors import InputError
from ...core.io.error_log import not_fatal
from ...core.io.names import EXPECTED_ERRORS_NAME, RESIDUALS_NAME, ROTATIONS_NAME
from ...core.recovery.minibatch import minibatch_rotations
from ...core.recovery.pairs import PairDistances, read_pairs
from ...core.recovery.solve import Recovery, as_recovery, recover_rotations
from ..recovery_config import RecoveryConfig
from ..run_directory import RunDirectory
from .config import RecoverDistancesConfig
from .report import recovered_notes, recovery_figures, recovery_metrics

logger = logging.getLogger(__name__)


def check(config: RecoverDistancesConfig) -> None:
    """Raise every error that can be found before any file is written."""
    config.validate()
    read_pairs(str(config.distances))


def run(config: RecoverDistancesConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write rotations.npy (N, 3, 3), residuals.npy and expected_errors.npy (N,) [rad], and the
    report.
    """
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
        "recover-distances: %d particles, %d distances, mean residual %.4g rad.",
        metrics["particles"],
        metrics["pairs"],
        metrics["recovery_loss_rad"],
    )
    with not_fatal(run.path, "its report"):
        _report(config, run, pairs, result, metrics)
    return metrics


def recover_pairs(config: RecoveryConfig, pairs: PairDistances) -> Recovery:
    """Rotations by the method of the config."""
    if config.method == "spectral":
        return recover_rotations(pairs, config.seed)
    fit = minibatch_rotations(
        pairs,
        config.seed,
        steps=config.minibatch_steps,
        batch_size=config.minibatch_pairs,
        learning_rate=config.minibatch_rate,
        task="recover",
    )
    return as_recovery(fit)


def _report(
    config: RecoverDistancesConfig,
    run: RunDirectory,
    pairs: PairDistances,
    result: Recovery,
    metrics: Dict[str, Any],
) -> None:
    from ..report import write_report

    write_report(
        run.path,
        "Rotations from distances",
        numbers=metrics,
        notes=recovered_notes(metrics),
        figures=recovery_figures(pairs, result, config.seed),
        lead=f"{pairs.number} particles from {len(pairs)} distances of {config.distances} "
        f"(method: {config.method}).",
    )
