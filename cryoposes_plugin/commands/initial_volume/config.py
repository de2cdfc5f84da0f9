"""What `initial-volume` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import InputError
from ...core.plausibility import check_diameter
from ..config import Config, option

_FEWEST_PARTICLES = 50


@dataclass(frozen=True)
class InitialVolumeConfig(Config):
    command: ClassVar[str] = "initial-volume"
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(
        None, "Particle STAR file; poses that it may have are not used, its CTF is.", path=True
    )
    diameter_angstrom: Optional[float] = option(
        None,
        "Diameter of the particle: the search looks at a field a third wider, and the density ends there. Default: "
        "75 % of the box.",
        unit="Å",
        minimum=1,
        maximum=1e5,
    )
    symmetry: str = option(
        "C1",
        "Point group. The search goes without it; then the axes that fit the volume best are found, and it is imposed.",
    )
    starts: int = option(
        3, "Random volumes to start from; the likeliest result is kept.", minimum=1, maximum=1000
    )
    search_particles: int = option(
        1000,
        "Particles that the search works on, drawn at random; all get poses from its volume.",
        minimum=50,
        maximum=10**6,
    )
    rounds: int = option(
        4,
        "Rounds of refinement and reconstruction after the search, at most; 0 ends with its coarse volume.",
        minimum=0,
        maximum=1000,
    )
    working_box_px: int = option(
        64,
        "Larger images are binned to this box for the refinement, with the same field of view.",
        unit="px",
        minimum=16,
        even=True,
        maximum=2048,
    )
    max_shift_px: float = option(
        6.0,
        "Largest shift of a particle from the centre of its image, in its pixels.",
        unit="px",
        minimum=0,
        maximum=1000,
    )
    draws: int = option(
        8,
        "Poses drawn for each image in every iteration of the search, by their probability.",
        expert=True,
        minimum=1,
        maximum=64,
    )
    batch_size: int = option(
        256, "Images a batch of the refinement.", expert=True, minimum=1, maximum=10**6
    )

    def check_images(self, what: str, number: int, width_angstrom: float) -> None:
        """Raise where particles, called `what`, are too few, or their images narrower than the particle."""
        if number < _FEWEST_PARTICLES:
            raise InputError(
                f"{what}: an initial volume needs {_FEWEST_PARTICLES} particles at least and this set has {number}; "
                "give more."
            )
        check_diameter(self.command, "diameter_angstrom", self.diameter_angstrom, width_angstrom)
