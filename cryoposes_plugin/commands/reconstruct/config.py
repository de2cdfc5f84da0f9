"""The options of `reconstruct`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import COMPUTATION, INPUT, RECONSTRUCTION, Config, option


@dataclass(frozen=True)
class ReconstructConfig(Config):
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
    batch_size: int = option(
        256,
        "Number of images per batch. It affects speed and memory, not the result.",
        label="Batch size",
        group=COMPUTATION,
        expert=True,
        minimum=1,
        maximum=10**6,
    )
