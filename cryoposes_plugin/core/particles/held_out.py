"""Particles that are held out of a training: whole micrographs, where these are known."""

from __future__ import annotations

import logging

import numpy as np

from ..io.ids import image_groups
from ..io.star_labels import MICROGRAPH_NAME
from ..texts import Texts
from ..types import ParticleTable

logger = logging.getLogger(__name__)

#: No more than this share of the particles is held out for the sake of whole micrographs.
_LARGEST_SHARE = 0.5


def held_out(table: ParticleTable, number: int, seed: int) -> np.ndarray:
    """(N,) bool: about `number` particles, of micrographs of which no other particle is trained on.

    Particles of one micrograph share ice, defocus and errors of their poses. Without names of
    micrographs, or with too few micrographs, single images are held out, copies of an image
    together.
    """
    names = table.extra.get(MICROGRAPH_NAME)
    if names is not None:
        micrographs = np.unique(Texts.of(names).data, return_inverse=True)[1]
        chosen = _groups(micrographs, number, seed)
        if 0 < chosen.sum() <= _LARGEST_SHARE * len(table):
            return chosen
    logger.info(
        "The particles %s, so the held-out images are not of other micrographs than the others.",
        "have no names of micrographs" if names is None else "are of too few micrographs",
    )
    return _groups(image_groups(table), number, seed)


def _groups(member: np.ndarray, number: int, seed: int) -> np.ndarray:
    """(N,) bool: groups in random order, until `number` particles or more are chosen."""
    order = np.random.default_rng(seed).permutation(int(member.max()) + 1)
    before = np.cumsum(np.bincount(member)[order]) - np.bincount(member)[order]
    return np.isin(member, order[before < number])
