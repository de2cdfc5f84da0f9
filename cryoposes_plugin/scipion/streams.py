"""Growing particle sets: their present content, and the batches that are made from it.

The ids of a batch are in a file, so that a resumed run finds the same batches.
"""

from __future__ import annotations

import os
import sqlite3
from typing import List, NamedTuple, Optional, Set

from ..core.io.folder import atomic_path

IDS_NAME = "ids.txt"


class Content(NamedTuple):
    """The enabled particles of a set, sorted, and whether more may come."""

    ids: List[int]
    open: bool


def reopened(particles):
    """A SetOfParticles as it is on disk now; one that was loaded earlier lacks later particles."""
    fresh = type(particles)(filename=particles.getFileName(), prefix=particles.getPrefix() or "")
    fresh.loadAllProperties()
    return fresh


def content(particles) -> Optional[Content]:
    """The present content; None while another program is writing to the set."""
    try:
        fresh = reopened(particles)
        is_open = fresh.isStreamOpen()  # before the ids, because a closed set has all of them
        ids = sorted(int(i) for i in fresh.getUniqueValues("id", where="enabled=1"))
        fresh.close()
    except sqlite3.OperationalError:
        return None
    return Content(ids, is_open)


def next_batch(waiting: List[int], smallest: int, is_open: bool) -> List[int]:
    """The waiting particles that make the next batch, in order.

    As long as more may come, `smallest` particles are kept for the last batch. So no batch is
    smaller, and noise and scale are always measured on enough images.
    """
    if not is_open:
        return waiting
    return waiting[:-smallest] if len(waiting) >= 2 * smallest else []


class Batches:
    """The batches of a run, in the folders 0001, 0002, ... of a folder."""

    def __init__(self, folder: str):
        self.folder = folder

    def names(self) -> List[str]:
        found = sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []
        return [name for name in found if os.path.exists(os.path.join(self.folder, name, IDS_NAME))]

    def ids(self, name: str) -> List[int]:
        with open(os.path.join(self.folder, name, IDS_NAME), encoding="utf-8") as handle:
            return [int(word) for word in handle.read().split()]

    def all_ids(self) -> Set[int]:
        return {identity for name in self.names() for identity in self.ids(name)}

    def add(self, ids: List[int]) -> str:
        name = f"{len(self.names()) + 1:04d}"
        path = os.path.join(self.folder, name, IDS_NAME)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with atomic_path(path) as part:
            part.write_text("\n".join(map(str, ids)) + "\n", encoding="utf-8")
        return name
