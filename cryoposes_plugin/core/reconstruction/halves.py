"""Half sets: those that the particles bring, else drawn by particle id."""

from __future__ import annotations

import logging
from typing import Tuple

import numpy as np

from ..errors import InputError
from ..types import ParticleTable

logger = logging.getLogger(__name__)


def half_sets(table: ParticleTable, seed: int) -> Tuple[np.ndarray, bool]:
    """(N,) int64 of 1 and 2, and whether they were drawn here.

    A column that is the same for all particles divides nothing and counts as none.

    Raises
    ------
    InputError : a single particle; a subset that is neither 1 nor 2.
    """
    if len(table) < 2:
        raise InputError(
            f"The particle set holds {len(table)} particle, and two half maps need one each; give at least 2 particles."
        )
    subset = table.random_subset
    if subset is None:
        return draw_half_sets(table.ids, seed), True
    values = np.unique(subset)
    if len(values) == 1:
        logger.warning("All particles are in half set %d: new half sets are drawn.", values[0])
        return draw_half_sets(table.ids, seed), True
    wrong = np.flatnonzero((subset != 1) & (subset != 2))
    if len(wrong):
        raise InputError(
            f"Particle {table.ids[wrong[0]]} is in half set {subset[wrong[0]]} (rlnRandomSubset); half sets are 1 "
            "and 2: correct the column, or remove it to have half sets drawn."
        )
    return subset.astype(np.int64), False


def draw_half_sets(ids: np.ndarray, seed: int) -> np.ndarray:
    """(N,) of 1 and 2, equally many (one more 1 if N is odd): a function of seed and ids, not of their order."""
    order = np.lexsort((ids, _hash(ids, seed)))
    subset = np.full(len(ids), 2, dtype=np.int64)
    subset[order[: (len(ids) + 1) // 2]] = 1
    return subset


def _hash(ids: np.ndarray, seed: int) -> np.ndarray:
    """SplitMix64's finaliser of id and seed (Steele, Lea & Flood 2014), uint64."""
    x = np.asarray(ids).astype(np.uint64) + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
