"""The options of `compare`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..comparison_config import comparison_join, comparison_symmetry
from ..config import COMPARISON, INPUT, Config, option


@dataclass(frozen=True)
class CompareConfig(Config):
    command: ClassVar[str] = "compare"
    title: ClassVar[str] = "compare poses"
    description: ClassVar[str] = "compare estimated poses with true poses"
    place: ClassVar[int] = 110
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)
    required: ClassVar[Tuple[str, ...]] = ("truth", "estimate")

    truth: Optional[str] = option(
        None,
        "Particles with the poses to compare with.",
        label="True poses",
        group=INPUT,
        path="STAR",
    )
    estimate: Optional[str] = option(
        None,
        "The same particles with the poses to assess.",
        label="Estimated poses",
        group=INPUT,
        path="STAR",
    )
    symmetry: str = comparison_symmetry()
    registration: str = option(
        "none",
        "How the frames of the two sets are brought together. 'none': the poses are compared as "
        "they are, which is right if both belong to the same map. 'rotation' and "
        "'rotation-and-hand': first find the best common rotation of the estimated poses, for "
        "maps that are rotated against each other, or that may also be mirror images. "
        "'orthogonal4': allow everything that distances between orientations leave open; this "
        "also moves the beam and is not a comparison of poses.",
        label="Registration",
        group=COMPARISON,
        choices=("none", "rotation", "rotation-and-hand", "orthogonal4"),
        titles={
            "rotation": "common rotation",
            "rotation-and-hand": "common rotation and hand",
            "orthogonal4": "orthogonal 4 x 4 matrix",
        },
    )
    join_by: str = comparison_join()
