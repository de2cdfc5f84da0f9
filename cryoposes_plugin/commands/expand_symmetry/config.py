"""The options of `expand-symmetry`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import INPUT, Config, option


@dataclass(frozen=True)
class ExpandSymmetryConfig(Config):
    command: ClassVar[str] = "expand-symmetry"
    title: ClassVar[str] = "expand symmetry"
    description: ClassVar[str] = (
        "repeat each particle at each symmetry mate of its pose, or undo it"
    )
    place: ClassVar[int] = 54
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(
        None,
        "Particles with poses, or expanded particles if they are to be collapsed.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    pseudo_symmetry: str = option(
        "C1",
        "Point group of the mates (C4, D2, T, O, I, ...).",
        label="Point group of the mates",
        group=INPUT,
    )
    symmetry: str = option(
        "C1",
        "Point group that each copy keeps, a subgroup of the other: poses that it makes equivalent "
        "are not repeated.",
        label="Symmetry that remains",
        group=INPUT,
    )
    collapse: bool = option(
        False,
        "The way back: of the copies of each particle, keep the one with the best score "
        "(`relax-symmetry` writes the probability of a mate), under the particle's own id.",
        label="Collapse an expanded set",
        group=INPUT,
    )
