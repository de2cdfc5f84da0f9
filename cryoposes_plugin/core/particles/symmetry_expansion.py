"""Symmetry expansion: each particle once at each of its symmetry mates, and the way back."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..geometry.subgroups import Cosets
from ..scores import EXPANDED_FROM, MATE, MATE_PROBABILITY, best_ranking, cost
from ..types import ParticleTable
from ..values import shown

#: Largest number of particles of an expanded set: its table is held in memory.
LARGEST_SET = 10**8


def expanded(table: ParticleTable, cosets: Cosets) -> ParticleTable:
    """N particles -> N n particles: each at its n mates A c, in the order of the cosets.

    The copies get ids of their own, 1 to N n, and a column with the id of the particle that they
    come from. In which coset a copy is, is the score `MATE`. Shifts, covariances (in the image's
    frame) and all other columns are those of the particle.

    Raises
    ------
    InputError : particles without orientations, or that were expanded before.
    """
    if table.rotations is None:
        raise InputError("The particles have no orientations; align them first.")
    if EXPANDED_FROM in table.extra:
        raise InputError(
            f"The particles were expanded before (_{EXPANDED_FROM}); collapse them first."
        )
    number, mates = len(table), len(cosets)
    if number * mates > LARGEST_SET:
        raise InputError(
            f"{number} particles at {mates} mates each are more than {LARGEST_SET:g}; expand parts "
            "of the set, or relax the symmetry instead."
        )

    source = np.repeat(np.arange(number), mates)
    mate = np.tile(np.arange(mates), number)
    ids = np.arange(1, number * mates + 1, dtype=np.int64)
    whole = table.take(source, ids)
    return whole.replace(
        rotations=np.asarray(table.rotations)[source] @ cosets.representatives[mate],
        scores={**whole.scores, MATE: mate.astype(np.float64)},
        extra={**whole.extra, EXPANDED_FROM: table.ids[source].astype(str).astype(object)},
        explicit_ids=True,
    )


def collapsed(table: ParticleTable) -> ParticleTable:
    """Of the copies of each particle the one of the best score, in the order of the particles.

    The score is the probability of the mate, or else the first of those that rank (see `scores`);
    without any, the first copy is kept. The particles get their ids back.

    Raises
    ------
    InputError : particles that were not expanded, or whose column is damaged.
    """
    if EXPANDED_FROM not in table.extra:
        raise InputError(
            f"The particles have no column _{EXPANDED_FROM}; give a set that was expanded with "
            "`cryoposes expand-symmetry`."
        )
    source = _source_ids(table)
    ranking = MATE_PROBABILITY if MATE_PROBABILITY in table.scores else best_ranking(table.scores)
    costs = np.zeros(len(table)) if ranking is None else cost(ranking, table.scores[ranking])
    order = np.lexsort((costs, source))
    best = order[np.r_[True, np.diff(source[order]) != 0]]
    first = np.minimum.reduceat(order, np.flatnonzero(np.r_[True, np.diff(source[order]) != 0]))
    kept = best[np.argsort(first, kind="stable")]

    ids, table = source[kept], table.take(kept)
    extra = {name: values for name, values in table.extra.items() if name != EXPANDED_FROM}
    return table.replace(ids=ids, extra=extra)


def _source_ids(table: ParticleTable) -> np.ndarray:
    texts = table.extra[EXPANDED_FROM]
    try:
        return np.array([int(text) for text in texts], dtype=np.int64)
    except (ValueError, OverflowError):
        wrong = next(t for t in texts if not str(t).lstrip("-").isdigit())
        raise InputError(
            f"_{EXPANDED_FROM} is {shown(str(wrong))}, not the id of a particle; expand the "
            "particles again."
        ) from None
