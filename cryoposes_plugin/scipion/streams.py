"""Particle sets that still grow: what they hold now, and the batches that are made of it.

A batch stays what it is: its ids lie in a file of its own, so that a run that is resumed finds its results again.
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
    """A SetOfParticles as it is on disk now; one that was loaded earlier knows nothing of what came since."""
    fresh = type(particles)(filename=particles.getFileName(), prefix=particles.getPrefix() or "")
    fresh.loadAllProperties()
    return fresh


def content(particles) -> Optional[Content]:
    """None while another program writes to the set: look again later."""
    try:
        fresh = reopened(particles)
        is_open = fresh.isStreamOpen()  # read before the ids: a set that is closed has all of them
        ids = sorted(int(i) for i in fresh.getUniqueValues("id", where="enabled=1"))
        fresh.close()
    except sqlite3.OperationalError:
        return None
    return Content(ids, is_open)


def next_batch(waiting: List[int], smallest: int, is_open: bool) -> List[int]:
    """Which of the waiting particles to take now, in order.

    As long as more may come, `smallest` of them are held back: so no batch is smaller, the last one included, and what
    is measured on a batch (noise, strength of the reference) has enough images.
    """
    if not is_open:
        return waiting
    return waiting[:-smallest] if len(waiting) >= 2 * smallest else []


class Batches:
    """The batches of a run, in folders 0001, 0002, ... of a folder."""

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
