"""The options of `iterate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import INPUT, RECONSTRUCTION, REFINEMENT, Config, option
from ..mask_input import mask_option, refuse_two_masks
from ..plausibility import check_diameter, check_low_pass
from ..refinement_config import batch_size_option, refinement_box_option


@dataclass(frozen=True)
class IterateConfig(Config):
    command: ClassVar[str] = "iterate"
    title: ClassVar[str] = "refine and reconstruct"
    description: ClassVar[str] = (
        "refine poses and reconstruct alternately, from a low-pass filtered volume"
    )
    place: ClassVar[int] = 60
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("volume", "particles")
    thread_per_batch: ClassVar[bool] = True

    particles: Optional[str] = option(
        None,
        "Particles. Without a network they need poses to start from.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    volume: Optional[str] = option(
        None,
        "Volume to start from. Only its low resolution is used.",
        label="Volume",
        group=INPUT,
        path="MRC",
    )
    low_pass_angstrom: float = option(
        40.0,
        "The starting volume is low-pass filtered to this resolution, so that all finer detail of "
        "the result comes from the images. A coarser filter is safer if details of the volume may "
        "be wrong. If it is too coarse, the first round cannot find the poses.",
        label="Initial low-pass filter",
        group=INPUT,
        unit="Å",
        minimum=1,
        maximum=1e4,
    )
    model: Optional[str] = option(
        None,
        "A network trained on the starting volume, low-pass filtered as above. It proposes poses "
        "in every round. Without a network, the refinement starts from the poses of the "
        "particles.",
        label="Pose model",
        group=INPUT,
        path="FOLDER",
    )
    symmetry: str = option(
        "C1",
        "Point group to impose (C1, C4, D2, T, O, I, ...).",
        label="Symmetry",
        group=RECONSTRUCTION,
    )
    mask_diameter_angstrom: Optional[float] = option(
        None,
        "Diameter of the soft spherical mask on the references. Choose it slightly larger than "
        "the particle. Default: 90 % of the box.",
        label="Mask diameter",
        alias="--mask-diameter",
        group=RECONSTRUCTION,
        unit="Å",
        minimum=1,
        maximum=1e5,
    )
    mask: Optional[str] = mask_option(
        "The references are multiplied by it, and the FSC is computed under it.",
        RECONSTRUCTION,
    )
    rounds: int = option(
        8,
        "Largest number of rounds of refinement and reconstruction. The run ends earlier if the "
        "resolution stops improving.",
        label="Largest number of rounds",
        group=REFINEMENT,
        minimum=1,
        maximum=1000,
    )
    hypotheses: int = option(
        64,
        "Largest number of orientations that the network proposes for each particle.",
        label="Number of hypotheses",
        group=REFINEMENT,
        expert=True,
        minimum=1,
        maximum=1024,
    )
    max_shift_px: float = option(
        8.0,
        "Largest shift that is searched if a network proposes the poses, in pixels of the images.",
        label="Largest shift",
        group=REFINEMENT,
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )
    working_box_px: Optional[int] = refinement_box_option(
        "Images larger than this are binned to this box size for the refinement, with the same "
        "field of view. A smaller box is faster but leaves out finer detail. Default: 128."
    )
    batch_size: int = batch_size_option()

    def validate(self) -> None:
        super().validate()
        refuse_two_masks(self)

    def check_images(
        self, width_angstrom: float, pixel_angstrom: float, volume_pixel_angstrom: float
    ) -> None:
        """Raise if mask or low-pass filter do not suit the images and the volume."""
        check_diameter(
            self.command, "mask_diameter_angstrom", self.mask_diameter_angstrom, width_angstrom
        )
        nyquist = {"the volume": 2 * volume_pixel_angstrom, "the images": 2 * pixel_angstrom}
        check_low_pass(self.command, self.low_pass_angstrom, nyquist, width_angstrom)
