"""What `refine` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import Config, option


@dataclass(frozen=True)
class RefineConfig(Config):
    command: ClassVar[str] = "refine"
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("volume", "particles")
    thread_per_batch: ClassVar[bool] = True

    volume: Optional[str] = option(
        None, "Volume (MRC) to refine against, in the frame of the poses.", path=True
    )
    particles: Optional[str] = option(
        None, "Particle STAR file with the poses to start from.", path=True
    )
    symmetry: str = option("C1", "Point group of the volume (C1, C4, D2, T, O, I, ...).")
    search_deg: float = option(
        0.0,
        "Also start from poses around the given ones, up to this angle away: for poses that may be off by more than "
        "some 15°. It takes longer. 0 starts from the given poses alone.",
        unit="°",
        minimum=0,
        maximum=180,
    )
    search_starts: int = option(
        24, "How many poses around each one are tried.", expert=True, minimum=1, maximum=10**4
    )
    search_shift_px: float = option(
        3.0,
        "With a search: how far around the given shift the best one is looked for, in pixels of the images.",
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )
    prior_deg: Optional[float] = option(
        None,
        "Standard deviation of a Gaussian prior around the given orientations, which holds the poses near them; "
        "empty for none.",
        unit="°",
        expert=True,
        minimum=0.001,
        maximum=360,
    )
    prior_shift_px: Optional[float] = option(
        None,
        "Standard deviation of a Gaussian prior around the given shifts, in pixels of the images (of the finest, where "
        "optics groups differ); empty for none.",
        unit="px",
        expert=True,
        minimum=0.0001,
        maximum=1000,
    )
    resolution_angstrom: Optional[float] = option(
        None,
        "Resolution up to which images and map are compared; empty: as far as they agree. Beyond what the map shows, "
        "poses fit noise.",
        unit="Å",
        minimum=0.1,
        maximum=1000,
    )
    working_box_px: Optional[int] = option(
        None,
        "Larger images are binned to this box, with the same field of view: smaller is faster, and finer detail does "
        "not take part. Default 128.",
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
