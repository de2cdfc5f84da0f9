"""What an image shows: one centred particle, or junk of some kind."""

from __future__ import annotations

from typing import Optional

import numpy as np

from .scores import TRUE_KIND
from .texts import distinct_rows
from .types import ParticleTable

PARTICLE = "particle"
NOISE, OTHER, OVERLAP, OFF_CENTRE = "noise", "other molecule", "overlap", "off centre"
SCRAMBLED, EDGE = "scrambled", "edge"


def kinds_as_text(kinds: np.ndarray) -> np.ndarray:
    """(N,) kinds as the values of the column cryoposesTrueKind, which have no blanks."""
    return np.array([str(kind).replace(" ", "_") for kind in kinds], dtype=object)


def true_kinds(*tables: ParticleTable) -> Optional[np.ndarray]:
    """(N,) kinds of the images, where they are known: from the first of the tables, all of the same
    N images, that has them; else None.
    """
    for table in tables:
        if TRUE_KIND in table.extra:
            first, kind = distinct_rows([table.extra[TRUE_KIND]])
            names = [str(text).replace("_", " ") for text in table.extra[TRUE_KIND][first]]
            return np.array(names)[kind]
    return None
