"""The options of `merge-sets`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Tuple

from ..config import INPUT, Config, option


@dataclass(frozen=True)
class MergeSetsConfig(Config):
    command: ClassVar[str] = "merge-sets"
    title: ClassVar[str] = "merge particle sets"
    description: ClassVar[str] = "make one particle set of several, from RELION, cryoSPARC or both"
    place: ClassVar[int] = 105
    required: ClassVar[Tuple[str, ...]] = ("sets",)

    sets: Tuple[str, ...] = option(
        (),
        "Two or more sets of particles. An image that is in several is taken from the first.",
        label="Particle sets",
        group=INPUT,
        path="STAR",
    )
