"""The options of `initial-volume`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import INPUT, REFINEMENT, SEARCH, Config, option
from ..plausibility import check_diameter
from ..refinement_config import batch_size_option


@dataclass(frozen=True)
class InitialVolumeConfig(Config):
    command: ClassVar[str] = "initial-volume"
    title: ClassVar[str] = "initial volume"
    description: ClassVar[str] = "determine a first volume and first poses from the particles alone"
    place: ClassVar[int] = 20
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(
        None,
        "Particles. Their CTF is used; poses that they may have are not.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    diameter_angstrom: Optional[float] = option(
        None,
        "Diameter of the particle. The search uses a field of view one third wider than this, and "
        "the density is zero outside the diameter. Default: 75 % of the box.",
        label="Particle diameter",
        group=INPUT,
        unit="Å",
        minimum=1,
        maximum=1e5,
    )
    symmetry: str = option(
        "C1",
        "Point group (C1, C4, D2, T, O, I, ...). The search itself imposes no symmetry. Then the "
        "axes that fit the volume best are found, and the symmetry is imposed.",
        label="Symmetry",
        group=INPUT,
    )
    starts: int = option(
        3,
        "Number of random volumes to start from. The most likely result is kept. If the volume "
        "looks wrong, try more starts.",
        label="Random starts",
        group=SEARCH,
        minimum=1,
        maximum=1000,
    )
    search_particles: int = option(
        1000,
        "Number of particles, drawn at random, that the search uses. Afterwards all particles get "
        "poses from its volume.",
        label="Particles in the search",
        group=SEARCH,
        minimum=50,
        maximum=10**6,
    )
    max_shift_px: float = option(
        6.0,
        "Largest shift of a particle from the centre of its image, in pixels of the image. "
        "Increase it for poorly centred particles.",
        label="Largest shift",
        group=SEARCH,
        unit="px",
        minimum=0,
        maximum=1000,
    )
    draws: int = option(
        8,
        "Number of poses drawn for each image in every iteration of the search, according to "
        "their probability.",
        label="Poses drawn per image",
        group=SEARCH,
        expert=True,
        minimum=1,
        maximum=64,
    )
    rounds: int = option(
        4,
        "Largest number of rounds of refinement and reconstruction after the search. 0 stops "
        "after the search, with its low-resolution volume.",
        label="Rounds of refinement",
        group=REFINEMENT,
        minimum=0,
        maximum=1000,
    )
    working_box_px: int = option(
        64,
        "Images larger than this are binned to this box size for the refinement, with the same "
        "field of view.",
        label="Box size for the refinement",
        group=REFINEMENT,
        unit="px",
        minimum=16,
        even=True,
        maximum=2048,
    )
    batch_size: int = batch_size_option("refinement batch")

    def check_images(self, width_angstrom: float) -> None:
        """ConfigError where the particle is wider than its images."""
        check_diameter(self.command, "diameter_angstrom", self.diameter_angstrom, width_angstrom)
