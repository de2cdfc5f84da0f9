"""What `filter` decides: which particles are kept, by which score, and why the others are not."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from ...core.errors import InputError
from ...core.evaluation.selection import (
    MORE_LIKELY_THAN_NOT,
    accept_at_rate,
    accept_gaining,
    accept_share,
    accept_share_of_cells,
    displacement_angstrom,
    remaining_signal,
    typical_resolution_angstrom,
    view_cells,
)
from ...core.geometry.symmetry import symmetry_rotations
from ...core.scores import (
    BASIN_ERROR,
    EXPECTED_ERROR,
    EXPECTED_SHIFT_ERROR,
    HIGH,
    JUNK,
    WRONG_BASIN,
    cost,
    score_named,
    title_of,
)
from ...core.types import ParticleTable
from ...core.values import counted
from .config import FilterConfig

#: Probabilities, whose values are checked.
_PROBABILITIES = (JUNK, WRONG_BASIN)
#: False discovery rates of which it is said how many more particles they would keep.
_OTHER_RATES = (0.02, 0.05)


class Decision(NamedTuple):
    """accepted : (N,) bool. score : that decided. numbers : for the metrics. notes : sentences."""

    accepted: np.ndarray
    score: str
    numbers: Dict[str, Any]
    notes: List[str]


def decide(config: FilterConfig, table: ParticleTable) -> Decision:
    """Which particles of a table are kept.

    Raises
    ------
    InputError : a score that is missing or is no number, or poses that are missing for the views.
    """
    cells = _cells(config, table)
    if config.automatic:
        return _automatic(config, table, cells)

    scores = checked_scores(config, table, config.score)
    notes = _constant(config.score, scores)
    costs = cost(config.score, scores)
    if config.threshold is not None:
        accepted = costs <= cost(config.score, config.threshold)
        if cells is not None:
            accepted = accept_share_of_cells(costs, cells, float(accepted.mean()))
    else:
        accepted = _share(costs, cells, config.keep_quantile or 0.0)
    return Decision(accepted, config.score, {}, notes)


def checked_scores(config: FilterConfig, table: ParticleTable, name: str) -> np.ndarray:
    """(N,) the scores of a column; InputError if it is missing or holds impossible values."""
    if name not in table.scores:
        known = ", ".join(sorted(table.scores)) or "no score at all"
        raise InputError(
            f"{config.particles} has no column _{name} (it has {known}); estimate the poses with "
            "`infer` first, or choose another --score."
        )
    scores = np.asarray(table.scores[name], dtype=np.float64)

    impossible = ~np.isfinite(scores)
    if name in _PROBABILITIES:
        impossible |= (scores < 0) | (scores > 1)
    if impossible.any():
        row = int(np.flatnonzero(impossible)[0])
        wanted = " and must be between 0 and 1" if name in _PROBABILITIES else ""
        raise InputError(
            f"Particle {table.ids[row]} of {config.particles} has {name} = {scores[row]}{wanted}; "
            "remove it or estimate its pose again."
        )
    return scores


def _automatic(config: FilterConfig, table: ParticleTable, cells: Optional[np.ndarray]) -> Decision:
    """Junk first, at the false discovery rate; then what the reconstruction does not gain from."""
    name = next((name for name in _PROBABILITIES if name in table.scores), None)
    if name is None:
        raise InputError(
            f"{config.particles} has no probability of junk ({JUNK}) and none of a wrong pose; "
            "estimate the poses with `infer` and refine them against a volume, or give "
            "--keep-quantile or --threshold with a --score."
        )
    probabilities = checked_scores(config, table, name)
    notes = _constant(name, probabilities)
    if name == JUNK:
        clean = accept_at_rate(probabilities, config.false_discovery_rate)
    else:
        clean = probabilities <= MORE_LIKELY_THAN_NOT
        notes.append(
            f"The particles have no {title_of(JUNK)}: those were kept whose pose is more likely "
            "right than wrong, and no false discovery rate is known. Estimate or refine their "
            "poses again to get it."
        )

    possible = probabilities <= MORE_LIKELY_THAN_NOT
    if cells is not None and possible.any():
        clean = _within(possible, probabilities, cells, clean.sum() / possible.sum())

    accepted, numbers = _gaining(config, table, clean, cells)
    rejected = clean & ~accepted
    numbers = {
        "rejected_as_junk": int((~clean).sum()),
        "rejected_for_error": int(rejected.sum()),
        **numbers,
    }
    if name == JUNK:
        numbers["false_discovery_rate"] = (
            float(probabilities[accepted].mean()) if accepted.any() else None
        )
        numbers["junk_expected"] = float(probabilities.sum())
        numbers["not_junk_at_rate"] = {
            f"{rate:g}": int(accept_at_rate(probabilities, rate).sum())
            for rate in (config.false_discovery_rate, *_OTHER_RATES)
            if rate >= config.false_discovery_rate
        }
    return Decision(accepted, name, numbers, notes)


def _gaining(
    config: FilterConfig, table: ParticleTable, clean: np.ndarray, cells: Optional[np.ndarray]
) -> Tuple[np.ndarray, Dict[str, Any]]:
    """The particles that the reconstruction gains from among the clean ones, and its numbers."""
    error = next((name for name in (BASIN_ERROR, EXPECTED_ERROR) if name in table.scores), None)
    if error is None or not clean.any():
        return clean, {}
    shift = np.zeros(len(table))
    if EXPECTED_SHIFT_ERROR in table.scores:
        shift = checked_scores(config, table, EXPECTED_SHIFT_ERROR)

    pixel = table.pixel_size_angstrom
    displaced = displacement_angstrom(
        checked_scores(config, table, error), shift, pixel * table.box_size_px
    )
    resolution = config.resolution_angstrom or typical_resolution_angstrom(
        displaced[clean], float(pixel.min())
    )
    weights = remaining_signal(displaced, resolution)
    if error == BASIN_ERROR and WRONG_BASIN in table.scores:
        weights = weights * (1 - checked_scores(config, table, WRONG_BASIN))

    found = accept_gaining(weights[clean])
    accepted = clean.copy()
    accepted[clean] = found.accepted
    if cells is not None and not found.accepted.all():
        accepted = _within(clean, -weights, cells, float(found.accepted.mean()))
    return accepted, {
        "decided_at_angstrom": float(resolution),
        "predicted_gain": found.gain,
        "lowest_remaining_signal": float(weights[accepted].min()) if accepted.any() else None,
    }


def _cells(config: FilterConfig, table: ParticleTable) -> Optional[np.ndarray]:
    if not config.even_views:
        return None
    if table.rotations is None:
        raise InputError(
            f"{config.particles} has no poses, so --even-views has no views; estimate the poses "
            "with `infer` first, or leave --even-views out."
        )
    return view_cells(table.rotations, symmetry_rotations(config.symmetry))


def _share(costs: np.ndarray, cells: Optional[np.ndarray], share: float) -> np.ndarray:
    return (
        accept_share(costs, share) if cells is None else accept_share_of_cells(costs, cells, share)
    )


def _within(
    candidates: np.ndarray, costs: np.ndarray, cells: np.ndarray, share: float
) -> np.ndarray:
    """(N,) bool: the same share of the candidates of each cell."""
    accepted = np.zeros(len(candidates), dtype=bool)
    accepted[candidates] = accept_share_of_cells(costs[candidates], cells[candidates], share)
    return accepted


def _constant(name: str, scores: np.ndarray) -> List[str]:
    if len(scores) < 2 or scores.min() < scores.max():
        return []
    return [
        f"All {counted(len(scores), 'particle')} have the same {title_of(name)}, {scores[0]:.6g}: "
        "it does not tell them apart."
    ]


def nothing_kept(config: FilterConfig, table: ParticleTable, decision: Decision) -> str:
    """The sentence of the error if no particle is kept."""
    scores = table.scores[decision.score]
    spread = f"{scores.min():.6g} to {scores.max():.6g}"
    if config.automatic:
        return (
            f"filter: no particle is kept of {len(table)}: their {title_of(decision.score)} goes "
            f"from {spread}, where a false discovery rate of {config.false_discovery_rate:g} is "
            "asked for; look at poses and volume, or give a larger --false-discovery-rate."
        )
    value = "smaller" if score_named(config.score).better == HIGH else "larger"
    return (
        f"filter: --threshold {config.threshold} (the scores go from {spread}) keeps none of the "
        f"{len(table)} particles; give a {value} value."
    )
