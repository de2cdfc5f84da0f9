"""The `filter` command: splits a particle set into confident particles and the rest."""

from __future__ import annotations

import logging
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...core.errors import InputError
from ...core.io.error_log import not_fatal
from ...core.io.ids import warn_of_copies
from ...core.io.names import ACCEPTED_NAME, REJECTED_NAME
from ...core.io.particle_files import read_particles, write_particle_results
from ...core.scores import (
    FROM_NOTHING,
    HIGH,
    JUNK,
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
from .decision import Decision, decide, nothing_kept
from .decoys import decoys_beside
from .views import (
    MICROGRAPHS_NAME,
    micrograph_rows,
    micrographs_note,
    views_before_and_after,
    write_micrographs,
)

logger = logging.getLogger(__name__)


def check(config: FilterConfig) -> None:
    """Raise every error that can be found before any file is written."""
    config.validate()
    warn_of_copies(_read_and_decide(config)[0])


def run(config: FilterConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write accepted.star, rejected.star, micrographs.csv if the micrographs are known, and the
    report; returns the metrics.
    """
    table, decision = _read_and_decide(config)
    accepted, scores = decision.accepted, table.scores[decision.score]
    write_particle_results(run, ACCEPTED_NAME, table.take(accepted))
    write_particle_results(run, REJECTED_NAME, table.take(~accepted))
    views, warning = views_before_and_after(table, accepted, config.symmetry, config.seed)
    metrics = {
        "particles": len(table),
        "accepted": int(accepted.sum()),
        "rejected": int((~accepted).sum()),
        "kept_share": float(accepted.mean()),
        "automatic": config.automatic,
        "even_views": config.even_views,
        "score": decision.score,
        "threshold": _threshold(config, decision.score, scores[accepted]),
        "median_score_accepted": _median_or_none(scores[accepted]),
        "median_score_rejected": _median_or_none(scores[~accepted]),
        **decision.numbers,
        **views,
    }
    rows = micrograph_rows(table, accepted)
    if rows:
        write_micrographs(run.file(MICROGRAPHS_NAME), rows)
    unlearned = sum(FROM_NOTHING in str(source) for source in table.extra.get(POSE_SOURCE, ()))

    if unlearned:
        logger.warning(
            "The poses of %s come from a network that %s, or were refined from such poses: do not "
            "rely on their scores.",
            counted(unlearned, "particle"),
            LEARNED_NOTHING,
        )
    ties = _ties_sentence(config, scores, accepted)
    notes = [note for note in (*decision.notes, ties, warning, micrographs_note(rows)) if note]
    for note in notes:
        logger.warning("filter: %s", note)
    logger.info(
        "filter: %d of %d particles accepted (%s).%s",
        metrics["accepted"],
        len(table),
        criterion(metrics),
        "".join(f" {sentence}" for sentence in reasons(metrics)),
    )
    with not_fatal(run.path, "its report"):
        _report(config, run, table, accepted, metrics, notes)
    return metrics


def _read_and_decide(config: FilterConfig) -> Tuple[ParticleTable, Decision]:
    table = read_particles(str(config.particles), (), config.images_from, config.passthrough)
    config.check_number(len(table))
    decision = decide(config, table)
    if not decision.accepted.any() and not config.allow_none:
        raise InputError(nothing_kept(config, table, decision))
    return table, decision


def _threshold(config: FilterConfig, score: str, accepted: np.ndarray) -> Optional[float]:
    """The given threshold, or the least certain score that was kept; None if none was kept."""
    if config.threshold is not None:
        return config.threshold
    return float(cost(score, cost(score, accepted).max())) if len(accepted) else None


def reasons(metrics: Dict[str, Any]) -> List[str]:
    """Sentences on why particles were rejected and on the views, from the metrics of a run."""
    lines = []
    if "rejected_as_junk" in metrics:
        kind = "junk" if metrics["score"] == JUNK else "a wrong pose"
        resolution = metrics.get("decided_at_angstrom")
        where = f" at {resolution:.3g} Å" if resolution else ""
        lines.append(
            f"Rejected as {kind}: {metrics['rejected_as_junk']}; because their errors blur more "
            f"than they add{where}: {metrics['rejected_for_error']}."
        )

    if metrics.get("false_discovery_rate") is not None:
        rate = 100 * metrics["false_discovery_rate"]
        lines.append(f"Estimated share of junk among the kept: {rate:.2g} %.")
        lines += _at_other_rates(metrics["not_junk_at_rate"])
    if "scf_star_before" in metrics:
        before, after = metrics["scf_star_before"], metrics["scf_star_after"]
        lines.append(f"Evenness of the views, SCF*: {before:.3f} before, {after:.3f} after.")
    return lines


def _at_other_rates(not_junk: Dict[str, int]) -> List[str]:
    """A sentence on what larger false discovery rates would keep, from the numbers of particles
    that are not junk by rate, the run's own first; none if they would keep no more.
    """
    (_, own), *others = not_junk.items()
    more = [
        f"{number - own} more at {100 * float(rate):g} %" for rate, number in others if number > own
    ]
    if not more:
        return []
    return [f"With a larger false discovery rate fewer count as junk: {', '.join(more)}."]


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
    if not config.by_share or config.even_views or kept == wanted:
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
    config: FilterConfig,
    run: RunDirectory,
    table: ParticleTable,
    accepted: np.ndarray,
    metrics: Dict[str, Any],
    warnings: List[str],
) -> None:
    from ...core.plots import uncertainty_histogram
    from ..report import write_report

    histogram = uncertainty_histogram(
        table.scores[metrics["score"]],
        accepted,
        metrics["score"],
        metrics["threshold"],
        decoys_beside(config, metrics["score"]),
    )
    figures = {
        "uncertainty_histogram": (
            "Scores of all particles; those of the accepted ones are blue.",
            histogram,
        )
    }
    notes = [score_named(metrics["score"]).help, *warnings, *reasons(metrics)]
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
        f"accepted by {title_of(metrics['score'])}.",
    )
