"""What `iterate` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.plausibility import check_diameter, check_low_pass
from ..config import Config, option


@dataclass(frozen=True)
class IterateConfig(Config):
    command: ClassVar[str] = "iterate"
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("volume", "particles")
    thread_per_batch: ClassVar[bool] = True

    volume: Optional[str] = option(
        None, "Volume (MRC) to start from; only its low resolution is used.", path=True
    )
    particles: Optional[str] = option(
        None, "Particle STAR file; it needs poses unless a model is given.", path=True
    )
    model: Optional[str] = option(
        None,
        "Folder of a network trained on the starting volume, low-passed as here: it proposes poses in every round. "
        "Without it the particles' own poses are started from.",
        path=True,
    )
    low_pass_angstrom: float = option(
        40.0,
        "The starting volume is cut at this resolution: what is finer in the result comes from the images. Coarser is "
        "safer where the volume may be wrong in detail; too coarse, and the first round finds no poses.",
        unit="Å",
        minimum=1,
        maximum=1e4,
    )
    symmetry: str = option("C1", "Point group to impose (C1, C4, D2, T, O, I, ...).")
    rounds: int = option(
        8,
        "Rounds of refinement and reconstruction, at most; fewer where the resolution stops to grow.",
        minimum=1,
        maximum=1000,
    )
    mask_diameter_angstrom: Optional[float] = option(
        None,
        "Diameter of the soft sphere that the references are cut to, a little more than the particle's; default: 90 "
        "% of the box.",
        unit="Å",
        minimum=1,
        maximum=1e5,
    )
    hypotheses: int = option(
        64,
        "Orientations that the network proposes for each particle, at most.",
        expert=True,
        minimum=1,
        maximum=1024,
    )
    max_shift_px: float = option(
        8.0,
        "With a model: largest shift looked for, in pixels of the images.",
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )
    working_box_px: Optional[int] = option(
        None,
        "Larger images are binned to this box for the refinement, with the same field of view: smaller is faster, "
        "and finer detail does not take part. Default 128.",
        unit="px",
        expert=True,
        minimum=16,
        even=True,
        maximum=2048,
    )
    batch_size: int = option(
        256,
        "Images worked on at once: a matter of speed and memory, not of the result.",
        expert=True,
        minimum=1,
        maximum=10**6,
    )

    def check_images(
        self, width_angstrom: float, pixel_angstrom: float, volume_pixel_angstrom: float
    ) -> None:
        """Raise where mask and filter do not fit the particles' images and the volume."""
        check_diameter(
            self.command, "mask_diameter_angstrom", self.mask_diameter_angstrom, width_angstrom
        )
        nyquist = {"the volume": 2 * volume_pixel_angstrom, "the images": 2 * pixel_angstrom}
        check_low_pass(self.command, self.low_pass_angstrom, nyquist, width_angstrom)
