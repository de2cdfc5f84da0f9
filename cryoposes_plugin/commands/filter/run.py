"""The `filter` command: splits a particle set into confident particles and the rest."""

from __future__ import annotations

import logging
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ...core.errors import ConfigError, InputError
from ...core.io.error_log import not_fatal
from ...core.io.ids import warn_of_copies
from ...core.io.names import ACCEPTED_NAME, REJECTED_NAME
from ...core.io.star import read_particles, write_particles
from ...core.scores import (
    FROM_NOTHING,
    HIGH,
    LEARNED_NOTHING,
    POSE_SOURCE,
    cost,
    score_named,
    title_of,
)
from ...core.types import ParticleTable
from ...core.values import counted
from ..run_directory import RunDirectory
from .config import FilterConfig

logger = logging.getLogger(__name__)


def accept_share(scores: np.ndarray, share: float) -> np.ndarray:
    """(N,) bool: the round(share * N) particles with the lowest scores.

    Particles with equal scores are kept or rejected together. Those at the limit are kept if that
    is closer to the share, or if no score is lower.
    """
    scores = np.asarray(scores)
    number = int(np.floor(share * len(scores) + 0.5))
    if number == 0:
        return np.zeros(len(scores), dtype=bool)
    cut = np.sort(scores)[number - 1]
    below, with_equal = (scores < cut).sum(), (scores <= cut).sum()
    return scores < cut if 0 < below and number - below < with_equal - number else scores <= cut


def accept_below(scores: np.ndarray, threshold: float) -> np.ndarray:
    """(N,) bool: scores not above the threshold."""
    return np.asarray(scores) <= threshold


def check(config: FilterConfig) -> None:
    """Raise every error that can be found before any file is written."""
    config.validate()
    warn_of_copies(_read_and_decide(config)[0])


def run(config: FilterConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write accepted.star, rejected.star and the report; returns the metrics."""
    table, accepted = _read_and_decide(config)
    scores = table.scores[config.score]
    write_particles(run.file(ACCEPTED_NAME), table.take(accepted))
    write_particles(run.file(REJECTED_NAME), table.take(~accepted))
    metrics = {
        "particles": len(table),
        "accepted": int(accepted.sum()),
        "rejected": int((~accepted).sum()),
        "kept_share": float(accepted.mean()),
        "score": config.score,
        "threshold": _threshold(config, scores[accepted]),
        "median_score_accepted": _median_or_none(scores[accepted]),
        "median_score_rejected": _median_or_none(scores[~accepted]),
    }
    unlearned = sum(FROM_NOTHING in str(source) for source in table.extra.get(POSE_SOURCE, ()))

    if unlearned:
        logger.warning(
            "The poses of %s come from a network that %s, or were refined from such poses: do not "
            "rely on their scores.",
            counted(unlearned, "particle"),
            LEARNED_NOTHING,
        )
    ties = _ties_sentence(config, scores, accepted)
    if ties:
        logger.warning("filter: %s", ties)
    logger.info(
        "filter: %d of %d particles accepted (%s).",
        metrics["accepted"],
        len(table),
        criterion(metrics),
    )
    with not_fatal(run.path, "its report"):
        _report(config, run, table, accepted, metrics)
    return metrics


def _read_and_decide(config: FilterConfig) -> Tuple[ParticleTable, np.ndarray]:
    table = read_particles(str(config.particles), images_from=config.images_from)
    if config.score not in table.scores:
        known = ", ".join(sorted(table.scores)) or "no score at all"
        raise InputError(
            f"{config.particles} has no column _{config.score} (it has {known}); estimate the "
            "poses with `infer` first, or choose another --score."
        )

    scores = table.scores[config.score]
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise InputError(
            f"Particle {table.ids[row]} of {config.particles} has {config.score} = {scores[row]}; "
            "remove it or estimate its pose again."
        )

    config.check_number(len(table))
    accepted = accept(config, table)
    if not accepted.any() and not config.allow_none:
        asked = f"--threshold {config.threshold} (the scores go from {_range(scores)})"
        value = "smaller" if score_named(config.score).better == HIGH else "larger"
        raise InputError(
            f"filter: {asked} keeps none of the {len(table)} particles; give a {value} value."
        )

    return table, accepted


def accept(config: FilterConfig, table: ParticleTable) -> np.ndarray:
    """(N,) bool: which particles of a table with the score are kept."""
    scores = cost(config.score, table.scores[config.score])
    if config.threshold is not None:
        return accept_below(scores, cost(config.score, config.threshold))
    if config.keep_quantile is not None:
        return accept_share(scores, config.keep_quantile)
    raise ConfigError("filter: neither --keep-quantile nor --threshold is given; give one.")


def _range(scores: np.ndarray) -> str:
    return f"{scores.min():.6g} to {scores.max():.6g}"


def _threshold(config: FilterConfig, accepted: np.ndarray) -> Optional[float]:
    """The given threshold, or the least certain score that was kept; None if none was kept."""
    if config.threshold is not None:
        return config.threshold
    return float(cost(config.score, cost(config.score, accepted).max())) if len(accepted) else None


def criterion(metrics: Dict[str, Any]) -> str:
    """The criterion by which particles were accepted, from the metrics of a run: "expected error
    (°) <= 2.5".
    """
    sign = ">=" if score_named(metrics["score"]).better == HIGH else "<="
    threshold = "nothing" if metrics["threshold"] is None else f"{metrics['threshold']:.6g}"
    return f"{title_of(metrics['score'])} {sign} {threshold}"


def _ties_sentence(config: FilterConfig, scores: np.ndarray, accepted: np.ndarray) -> str:
    """A sentence about equal scores that were kept or rejected together; "" for an exact share."""
    wanted, kept = config.number_kept(len(scores)), int(accepted.sum())
    if config.threshold is not None or kept == wanted:
        return ""
    costs = np.asarray(cost(config.score, scores))
    cut = costs == np.sort(costs)[wanted - 1]
    return (
        f"{counted(int(cut.sum()), 'particle')} have the same {title_of(config.score)}, "
        f"{scores[cut][0]:.6g}, and were kept or rejected together: {kept} of {len(scores)} "
        f"particles are accepted, whereas the share corresponds to {wanted}."
    )


def _median_or_none(values: np.ndarray) -> Optional[float]:
    return float(np.median(values)) if len(values) else None


def _report(
    config: FilterConfig, run: RunDirectory, table: ParticleTable, accepted: np.ndarray, metrics
) -> None:
    from ...core.plots import uncertainty_histogram
    from ..report import write_report

    histogram = uncertainty_histogram(
        table.scores[config.score], accepted, config.score, metrics["threshold"]
    )
    figures = {
        "uncertainty_histogram": (
            "Scores of all particles; those of the accepted ones are blue.",
            histogram,
        )
    }
    ties = _ties_sentence(config, table.scores[config.score], accepted)
    notes = [score_named(config.score).help, *([ties] if ties else [])]
    if accepted.all():
        notes.append("All particles were kept: rejected.star is empty.")
    if not accepted.any():
        notes.append("No particle was kept: accepted.star is empty.")
    write_report(
        run.path,
        "Filter by uncertainty",
        numbers=metrics,
        notes=notes,
        figures=figures,
        lead=f"{metrics['accepted']} of {counted(len(table), 'particle')} of {config.particles} "
        f"accepted by {title_of(config.score)}.",
    )
