"""Half sets: those given with the particles, or otherwise drawn by particle id."""

from __future__ import annotations

import logging
from typing import Optional, Tuple

import numpy as np

from ..errors import InputError
from ..io.ids import copied_stack, image_groups, image_name
from ..types import ParticleTable

logger = logging.getLogger(__name__)

#: A question is asked if the smaller of the given half sets has less than this share of the
#: particles.
_LEAST_SHARE = 0.25


def half_sets(table: ParticleTable, seed: int) -> Tuple[np.ndarray, bool]:
    """(N,) int64, 1 or 2 for each particle, and whether the half sets were drawn here.

    A column with the same value for all particles is ignored. Copies of one image go into the same
    half: in both halves, the image would correlate with itself.

    Raises
    ------
    InputError : if there is only one particle, or only copies of one; if a subset is neither 1 nor
        2; if an image is in both given halves.
    """
    if len(table) < 2:
        raise InputError(
            f"The set holds {len(table)} particle, but each of the two half maps needs one; give "
            "at least 2 particles."
        )
    image = _images(table)
    subset = table.random_subset
    if subset is None:
        return draw_half_sets(table.ids, seed, image), True

    values = np.unique(subset)
    if len(values) == 1:
        logger.warning("All particles are in half set %d, so new half sets are drawn.", values[0])
        return draw_half_sets(table.ids, seed, image), True
    wrong = np.flatnonzero((subset != 1) & (subset != 2))
    if len(wrong):
        raise InputError(
            f"Particle {table.ids[wrong[0]]} is in half set {subset[wrong[0]]} (rlnRandomSubset); "
            "half sets must be 1 or 2: correct the column, or remove it to have half sets drawn."
        )

    _check_apart(table, subset, image)
    smaller, larger = sorted(((subset == half).sum(), half) for half in (1, 2))
    if smaller[0] < _LEAST_SHARE * len(table):
        logger.warning(
            "Half set %d holds %d particles and half set %d holds %d (rlnRandomSubset): the "
            "smaller one limits the resolution. Is this intended? Remove the column to have equal "
            "half sets drawn.",
            *(smaller[1], smaller[0], larger[1], larger[0]),
        )
    return subset.astype(np.int64), False


def draw_half_sets(ids: np.ndarray, seed: int, image: Optional[np.ndarray] = None) -> np.ndarray:
    """(N,) of 1 and 2, equally many (one more 1 if N is odd); they depend on the seed and the ids,
    not on the order.

    Particles with the same number in `image` (N,) stay together; the first half then has at most
    half of the particles.
    """
    if image is None:
        image = np.arange(len(ids))
    smallest = np.full(int(image.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(smallest, image, ids)
    order = np.lexsort((smallest, _hash(smallest, seed)))
    before = np.cumsum(np.bincount(image)[order])
    half = np.full(len(smallest), 2, dtype=np.int64)
    half[order[before <= max((len(ids) + 1) // 2, before[0] if len(before) else 0)]] = 1
    return half[image]


def _images(table: ParticleTable) -> np.ndarray:
    """(N,) number of each particle's image; warns of copies."""
    image = image_groups(table)
    counts = np.bincount(image)
    if len(counts) == len(table):
        return image
    first = image_name(table, int(np.flatnonzero(image == np.argmax(counts > 1))[0]))
    if len(counts) < 2:
        raise InputError(
            f"All {len(table)} particles are {first}, but the two half maps need different images; "
            "give other particles."
        )

    logger.warning(
        "The %d particles are only %d images: some occur more than once (such as %s); copies must "
        "be in the same half set.%s",
        len(table),
        len(counts),
        first,
        copied_stack(table),
    )
    return image


def _check_apart(table: ParticleTable, subset: np.ndarray, image: np.ndarray) -> None:
    first = np.zeros(int(image.max()) + 1, dtype=np.int64)
    first[image] = subset
    torn = np.flatnonzero(first[image] != subset)
    if len(torn):
        more = f", and so are {len(set(image[torn])) - 1} more" if len(set(image[torn])) > 1 else ""
        raise InputError(
            f"Half sets: {image_name(table, int(torn[0]))} is in both (rlnRandomSubset){more}, so "
            "the halves are not independent; remove the copies, or remove the column to have half "
            f"sets drawn.{copied_stack(table)}"
        )


def _hash(ids: np.ndarray, seed: int) -> np.ndarray:
    """SplitMix64's finaliser of id and seed (Steele, Lea & Flood 2014), uint64."""
    x = np.asarray(ids).astype(np.uint64) + np.uint64((0x9E3779B97F4A7C15 * (seed + 1)) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
