"""Work on the particles of a set that can be done in chunks, which know nothing of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np

from ..io.folder import Folder
from .images import ResampledImages


@dataclass(frozen=True)
class ChunkedWork:
    """Work on many particles. What must be measured on the whole set is measured before.

    Attributes
    ----------
    name : of the work, a part of names of folders.
    rows : (M,) of the particles, in the order of the work.
    ids : (N,) of all particles, to name those of a chunk.
    save : writes what was measured to the folder of the run, from which every chunk reads it.
    do : does some of the rows, and leaves their results in a folder of their own, in which it also
        resumes.
    take : takes the results of these rows from that folder.
    images : of all particles; what was seen when they were read is handed on. None: not read.
    last : whether no further work in chunks follows.
    step : number of particles in a batch.
    """

    name: str
    rows: np.ndarray
    ids: np.ndarray
    save: Callable[[], None]
    do: Callable[[Folder, np.ndarray], None]
    take: Callable[[Folder, np.ndarray], None]
    images: Optional[ResampledImages] = None
    last: bool = True
    step: int = 1


#: Does the work in chunks and returns the particles per second, or None if it is to be done whole.
Divide = Callable[[ChunkedWork], Optional[float]]


def undivided(work: ChunkedWork) -> Optional[float]:
    """Leaves all of the work whole."""
    return None
