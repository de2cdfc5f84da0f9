"""Particles in batches of one optics group, and a first look at their images."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import List, NamedTuple, Optional

import numpy as np

from ..types import CtfTable, ParticleTable
from .contrast import contrast_sentences
from .grey_values import GreyValues
from .images import ParticleImages, ResampledImages

logger = logging.getLogger(__name__)

#: Stacks up to this size are read once before the work begins, so that a bad image is found before
#: minutes are spent.
_SCAN_BELOW_BYTES = 4 * 2**30


class ImageBatch(NamedTuple):
    """Images (B, D, D) float32 of one optics group, their CTFs if they have any, and their state."""

    images: np.ndarray
    ctf: Optional[CtfTable]
    image_state: str


@dataclass(frozen=True)
class ParticleBatches:
    """Particles, and their images at one box and pixel size, read in batches of one optics group."""

    table: ParticleTable
    images: ResampledImages

    def read_batch(self, rows: np.ndarray) -> ImageBatch:
        """The images of these rows, which must belong to one optics group."""
        table = self.table
        ctf = None if table.ctf is None else table.ctf.take(rows)
        state = table.optics[table.optics_index[rows[0]]].image_state
        return ImageBatch(self.images.read(rows), ctf, state)


def batches(table: ParticleTable, batch_size: int, done: int = 0) -> List[np.ndarray]:
    """Rows of the table in batches of one optics group each, in the set's order within the group.

    done : so many rows, the first in this order, are left out: an interrupted run goes on with
        batches of any size.
    """
    parts = []
    for group in np.unique(table.optics_index):
        rows = np.flatnonzero(table.optics_index == group)
        skipped = min(done, len(rows))
        done -= skipped
        parts += [rows[i : i + batch_size] for i in range(skipped, len(rows), batch_size)]
    return parts


def scan_images(table: ParticleTable) -> None:
    """Read every image once: InputError for one with NaN or a set of blanks, a warning for what is
    not like the others.

    Of larger sets a sample is read; their images are checked while they are worked on.
    """
    grey = GreyValues(table, ParticleImages(table).read)
    if 4.0 * np.sum(table.box_size_px.astype(float) ** 2) > _SCAN_BELOW_BYTES:
        warn_of_contrast(table, grey)
        return
    for sentence in grey.sentences():
        logger.warning("%s", sentence)
    warn_of_contrast(table, grey)


def look_at_images(table: ParticleTable) -> None:
    """The same of a sample alone: InputError for blanks, a warning where protein seems to be black."""
    warn_of_contrast(table, GreyValues(table, ParticleImages(table).read))


def warn_of_contrast(table: ParticleTable, grey: GreyValues) -> None:
    for sentence in contrast_sentences(table, grey):
        logger.warning("%s", sentence)
