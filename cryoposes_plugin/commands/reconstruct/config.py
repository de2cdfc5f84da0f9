"""The options of `reconstruct`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ..chunked_config import ChunkedConfig
from ..config import INPUT, RECONSTRUCTION, option
from ..mask_input import mask_option, refuse_two_masks
from ..refinement_config import batch_size_option

UNWEIGHTED, BY_PROBABILITY, BY_COVARIANCE, BY_BOTH = "none", "probability", "covariance", "both"
#: What the weights are by.
BASES = {
    BY_PROBABILITY: "the probability of the pose",
    BY_COVARIANCE: "the covariance of the pose",
    BY_BOTH: "the probability and the covariance of the pose",
}


@dataclass(frozen=True)
class ReconstructConfig(ChunkedConfig):
    command: ClassVar[str] = "reconstruct"
    title: ClassVar[str] = "reconstruct volume"
    description: ClassVar[str] = "reconstruct a volume and two half maps, and compute their FSC"
    place: ClassVar[int] = 100
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(
        None,
        "Particles with poses. If they are divided into half sets (rlnRandomSubset), these are "
        "used; otherwise half sets are drawn at random.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    reference: Optional[str] = option(
        None,
        "Volume in the same frame, with which the result is compared by FSC.",
        label="Reference volume",
        group=INPUT,
        path="MRC",
    )
    symmetry: str = option(
        "C1",
        "Point group to impose (C1, C4, D2, T, O, I, ...).",
        label="Symmetry",
        group=RECONSTRUCTION,
    )
    mask_diameter_angstrom: Optional[float] = option(
        None,
        "Diameter of the soft spherical mask that is used for the masked FSC. Choose it slightly "
        "larger than the particle. The volume itself is not masked. Default: 75 % of the box.",
        label="Mask diameter",
        alias="--mask-diameter",
        group=RECONSTRUCTION,
        unit="Å",
        minimum=1,
        maximum=1e5,
    )
    box_px: Optional[int] = option(
        None,
        "Box size of the maps. The images keep their own box; the maps are cut, or padded with "
        "zeros, about their centre. Choose it wider than the particle and its mask. Default: the "
        "field of view of the images.",
        label="Box size of the maps",
        group=RECONSTRUCTION,
        unit="px",
        expert=True,
        minimum=16,
        maximum=2048,
        even=True,
    )
    pixel_size_angstrom: Optional[float] = option(
        None,
        "Pixel size of the maps. A coarser one than that of the images is faster and leaves out "
        "the detail finer than twice its size; a finer one adds no detail. Default: the finest "
        "pixel size of the images.",
        label="Pixel size of the maps",
        alias="--pixel-size",
        group=RECONSTRUCTION,
        unit="Å",
        expert=True,
        minimum=0.01,
        maximum=1000,
    )
    mask: Optional[str] = mask_option(
        "The masked FSC is computed under it, and corrected for it. The volume itself is not "
        "masked.",
        RECONSTRUCTION,
    )
    weights: str = option(
        UNWEIGHTED,
        "How much a particle counts. By the probability that its pose is right, by the covariance "
        "of its pose, which attenuates fine detail, or by both. They need poses that were refined "
        "against a volume.",
        label="Weights of particles",
        group=RECONSTRUCTION,
        choices=(UNWEIGHTED, BY_PROBABILITY, BY_COVARIANCE, BY_BOTH),
        titles={UNWEIGHTED: "all particles alike", **BASES},
    )
    method: str = option(
        "fourier",
        "Fourier insertion with CTF weights, or conjugate gradients (CGLS) with ASTRA, which "
        "needs a CUDA device.",
        label="Method",
        group=RECONSTRUCTION,
        choices=("fourier", "cgls"),
        titles={"fourier": "Fourier insertion", "cgls": "CGLS"},
        expert=True,
    )
    cgls_iterations: int = option(
        20,
        "Number of CGLS iterations. More iterations bring out finer detail and more noise.",
        label="CGLS iterations",
        group=RECONSTRUCTION,
        expert=True,
        minimum=1,
        maximum=10**4,
    )
    padding: int = option(
        2,
        "Padding factor: how much finer the Fourier volume is sampled than the images. 2 is "
        "enough. 1 needs an eighth of the memory and interpolates less well.",
        label="Padding factor",
        group=RECONSTRUCTION,
        expert=True,
        minimum=1,
        maximum=4,
    )
    batch_size: int = batch_size_option()

    def validate(self) -> None:
        """ConfigError for a combination that is not possible."""
        super().validate()
        refuse_two_masks(self)
        if self.method == "cgls" and self.weights != UNWEIGHTED:
            raise ConfigError(
                f"reconstruct: --weights {self.weights} is not possible with --method cgls; use "
                f"--method fourier or --weights {UNWEIGHTED}."
            )

    def check_divisible(self) -> None:
        """ConfigError for a method that needs all particles at once."""
        if self.method == "cgls":
            raise ConfigError(
                "reconstruct: --method cgls needs all particles at once, and so cannot be done by "
                "--workers or in chunks; use --method fourier."
            )
