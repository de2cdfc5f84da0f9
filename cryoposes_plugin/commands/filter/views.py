"""What `filter` does to the views, and which micrographs its rejected particles come from."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from ...core.evaluation.selection import view_cells
from ...core.evaluation.views import sampling_compensation_factor
from ...core.geometry.symmetry import symmetry_rotations
from ...core.io.folder import atomic_path
from ...core.io.star_labels import MICROGRAPH_NAME
from ...core.scores import EXPECTED_ERROR, JUNK
from ...core.texts import distinct_rows
from ...core.types import ParticleTable

#: Kept particles, one row a micrograph.
MICROGRAPHS_NAME = "micrographs.csv"
#: SCF* may fall by this share below that of a random choice of as many particles.
LARGEST_LOSS = 0.03
#: Particles of a view whose share is told.
_PARTICLES_OF_A_VIEW = 50
#: Random choices, and the standard deviations below their mean from which a loss is no accident.
_DRAWS, _SIGNIFICANT = 6, 5.0


def views_before_and_after(
    table: ParticleTable, accepted: np.ndarray, symmetry: str, seed: int
) -> Tuple[Dict[str, Any], str]:
    """What the choice does to the views.

    Fewer particles have a lower SCF* by themselves, so random choices are the yardstick.

    Parameters
    ----------
    table : N particles.
    accepted : (N,) bool.
    symmetry : point group.
    seed : of the random choices.

    Returns
    -------
    SCF* of all particles, of the accepted and of as many chosen at random, and the lowest share
    that is kept of a cell of views; and a warning or "". {} and "" without poses or particles.
    """
    rotations = table.rotations
    if rotations is None or not accepted.any():
        return {}, ""
    group = symmetry_rotations(symmetry)
    rng = np.random.default_rng(seed)

    def evenness(rows: np.ndarray) -> float:
        return sampling_compensation_factor(rotations[rows], group).scf_star

    before, after = evenness(np.ones(len(table), dtype=bool)), evenness(accepted)
    draws = np.array([evenness(rng.permutation(accepted)) for _ in range(_DRAWS)])
    random, spread = float(draws.mean()), float(draws.std(ddof=1))

    cells = view_cells(rotations, group, _PARTICLES_OF_A_VIEW)
    kept = np.bincount(cells, accepted) / np.bincount(cells)
    numbers = {
        "scf_star_before": round(before, 5),
        "scf_star_after": round(after, 5),
        "scf_star_of_random_choice": round(random, 5),
        "lowest_share_kept_of_a_view": round(float(kept.min()), 5),
    }
    if after >= min((1 - LARGEST_LOSS) * random, random - _SIGNIFICANT * spread):
        return numbers, ""
    return numbers, (
        f"The filter makes the views less even: SCF* falls from {before:.3f} to {after:.3f}, and "
        f"would be {random:.3f} after a random choice of as many particles; of the view that loses "
        f"most, {100 * kept.min():.0f} % are kept, and {100 * accepted.mean():.0f} % of all. Use "
        "--even-views to keep the same share of every view."
    )


def micrograph_rows(table: ParticleTable, accepted: np.ndarray) -> List[Dict[str, Any]]:
    """A row per micrograph, that with the smallest share of kept particles first; [] without names.

    Mean probability of junk and median expected error are empty if the set does not have them.
    """
    names = table.extra.get(MICROGRAPH_NAME)
    if names is None:
        return []
    first, member = distinct_rows([names])

    order = np.argsort(member, kind="stable")
    rows = []
    for name, part in zip(
        names[first], np.split(order, np.flatnonzero(np.diff(member[order])) + 1)
    ):
        row = {"micrograph": str(name), "particles": len(part), "kept": int(accepted[part].sum())}
        for title, score, mean in (
            ("mean_junk_probability", JUNK, np.mean),
            ("median_expected_error_deg", EXPECTED_ERROR, np.median),
        ):
            values = table.scores.get(score)
            row[title] = "" if values is None else round(float(mean(values[part])), 5)
        rows.append(row)
    return sorted(rows, key=lambda row: (row["kept"] / row["particles"], -row["particles"]))


def write_micrographs(path: Path, rows: List[Dict[str, Any]]) -> None:
    """Write micrographs.csv."""
    with atomic_path(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def micrographs_note(rows: List[Dict[str, Any]]) -> str:
    """A sentence if a tenth of the micrographs holds half of the rejected particles, and at least
    three times its share of them; "" otherwise.
    """
    few = max(1, len(rows) // 10)
    total = sum(row["particles"] for row in rows)
    rejected = sorted(rows, key=lambda row: row["kept"] - row["particles"])
    lost = [row["particles"] - row["kept"] for row in rejected]
    if len(rows) < 10 or sum(lost) < 20:
        return ""

    share, size = sum(lost[:few]) / sum(lost), sum(r["particles"] for r in rejected[:few]) / total
    if share < 0.5 or share < 3 * size:
        return ""
    worst = ", ".join(row["micrograph"] for row in rejected[: min(few, 3)])
    return (
        f"{few} of {len(rows)} micrographs hold {100 * share:.0f} % of the rejected particles "
        f"(and {100 * size:.0f} % of all): look at them in micrographs.csv, first at {worst}."
    )
