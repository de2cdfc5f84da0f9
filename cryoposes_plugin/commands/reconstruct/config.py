"""What `reconstruct` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import Config, option


@dataclass(frozen=True)
class ReconstructConfig(Config):
    command: ClassVar[str] = "reconstruct"
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(None, "Particle STAR file with poses.", path=True)
    symmetry: str = option("C1", "Point group to impose (C1, C4, D2, T, O, I, ...).")
    mask_diameter_angstrom: Optional[float] = option(
        None,
        "Diameter of the soft sphere for the masked FSC, a little more than the particle's; default: 75 % of the "
        "box. The volume itself is not masked.",
        unit="Å",
        minimum=1,
        maximum=1e5,
    )
    reference: Optional[str] = option(
        None, "Volume (MRC) on the same frame, to compare with by FSC.", path=True
    )
    method: str = option(
        "fourier",
        "Fourier insertion with CTF weights, or CGLS with ASTRA (needs CUDA).",
        choices=("fourier", "cgls"),
        titles=("Fourier insertion", "CGLS"),
        expert=True,
    )
    cgls_iterations: int = option(
        20,
        "Iterations of CGLS: more bring finer detail and more noise.",
        expert=True,
        minimum=1,
        maximum=10**4,
    )
    padding: int = option(
        2,
        "How much finer than the images the Fourier volume is sampled. 2 is enough; 1 takes an eighth of the memory "
        "and interpolates worse.",
        expert=True,
        minimum=1,
        maximum=4,
    )
    batch_size: int = option(
        256,
        "Images worked on at once: a matter of speed and memory, not of the result.",
        expert=True,
        minimum=1,
        maximum=10**6,
    )
