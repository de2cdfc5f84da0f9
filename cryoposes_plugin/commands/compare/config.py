"""What `compare` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import Config, option


@dataclass(frozen=True)
class CompareConfig(Config):
    command: ClassVar[str] = "compare"
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)
    required: ClassVar[Tuple[str, ...]] = ("truth", "estimate")

    truth: Optional[str] = option(
        None, "Particle STAR file with the poses to compare with.", path=True
    )
    estimate: Optional[str] = option(None, "Particle STAR file with the poses to judge.", path=True)
    symmetry: str = option("C1", "Point group: poses that it makes equal count as equal.")
    registration: str = option(
        "none",
        "'none' compares the poses as they are: right when both belong to one map. If the two maps may be turned, or "
        "be mirror images, 'rotation' and 'rotation-and-hand' first find the best common one. 'orthogonal4' allows "
        "all that distances leave open; it moves the beam and says nothing of poses.",
        choices=("none", "rotation", "rotation-and-hand", "orthogonal4"),
        titles=("none", "common rotation", "common rotation and hand", "orthogonal 4 x 4 matrix"),
    )
    join_by: str = option(
        "auto",
        "How the particles of the two sets are found in each other. 'auto': by rlnImageId where it does not contradict "
        "the images, else by image (whole path and slice). 'id': by rlnImageId alone, for images that were made anew, "
        "as by resampling.",
        choices=("auto", "image", "id"),
        expert=True,
    )
