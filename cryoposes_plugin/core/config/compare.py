"""What `compare` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from .base import Config, option


@dataclass(frozen=True)
class CompareConfig(Config):
    command: ClassVar[str] = "compare"
    required: ClassVar[Tuple[str, ...]] = ("truth", "estimate")

    truth: Optional[str] = option(None, "Particle STAR file with the poses to compare with.", path=True)
    estimate: Optional[str] = option(None, "Particle STAR file with the poses to judge.", path=True)
    symmetry: str = option("C1", "Point group: poses that it makes equal count as equal.")
    registration: str = option(
        "none",
        "Compare as they are, or after the best common rotation, rotation and hand, or orthogonal transform of the "
        "quaternions (all that distances leave open; not physical, it moves the beam).",
        choices=("none", "rotation", "rotation-and-hand", "orthogonal4"),
    )
