"""The pose that scores belong to, written beside them, because they are invalid for another pose.

Other programs change poses and pass on columns that they do not know. Every reader of particles
therefore compares this column with the pose of the particle.
"""

from __future__ import annotations

import logging

import numpy as np

from . import conventions
from .scores import COVARIANCE, POSE_SOURCE, SCORED_POSE
from .texts import AnyTexts, Texts, formatted, numbers_between
from .types import ParticleTable

logger = logging.getLogger(__name__)

#: Poses that differ by less are the same: other programs round numbers, and refinements take larger
#: steps.
_SAME_DEG, _SAME_ANGSTROM = 0.01, 0.01


def scored_poses(table: ParticleTable) -> Texts:
    """ "rot/tilt/psi/x/y" of every particle's pose: RELION's angles (degrees) and origin (Å)."""
    origins = _origins_angstrom(table)
    angles = conventions.rotations_to_euler_deg(np.asarray(table.rotations))
    numbers = np.concatenate([angles, origins], axis=1)
    return formatted("/".join(["%.3f"] * 5), numbers)


def has_scores(table: ParticleTable) -> bool:
    """Whether the table has scores or a pose source, so that their pose must be written too."""
    return table.rotations is not None and bool(table.scores or POSE_SOURCE in table.extra)


def without_scores_of_other_poses(table: ParticleTable, source: str) -> ParticleTable:
    """The table without the column, and without scores and pose source if a pose has changed.

    That is logged; `source` names the particles in the sentence.
    """
    if SCORED_POSE not in table.extra:
        return table
    other = ~same_poses(table, table.extra[SCORED_POSE])
    extra = {name: values for name, values in table.extra.items() if name != SCORED_POSE}
    if not other.any():
        return table.replace(extra=extra)
    logger.warning(
        "%s: another program changed the poses of %d of %d particles after they were scored. "
        "Scores and pose source are left out.",
        source,
        other.sum(),
        len(table),
    )

    for name in (POSE_SOURCE, COVARIANCE):
        extra.pop(name, None)
    return table.replace(scores={}, extra=extra)


def same_poses(table: ParticleTable, texts: AnyTexts) -> np.ndarray:
    """(N,) bool: whether each particle has the pose of its text (see `scored_poses`)."""
    if table.rotations is None:
        return np.zeros(len(table), dtype=bool)
    numbers = numbers_between(texts, 5)  # NaN for a damaged text, which compares as different
    scored = conventions.euler_deg_to_rotations(np.nan_to_num(numbers[:, :3]))
    cosine = (np.einsum("nij,nij->n", scored, table.rotations) - 1) / 2
    turned_deg = np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
    origins = _origins_angstrom(table)
    moved_angstrom = np.linalg.norm(numbers[:, 3:] - origins, axis=1)
    return (turned_deg <= _SAME_DEG) & (moved_angstrom <= _SAME_ANGSTROM)


def _origins_angstrom(table: ParticleTable) -> np.ndarray:
    return conventions.shifts_px_to_origin_angstrom(
        table.known_shifts_px, table.pixel_size_angstrom
    )
