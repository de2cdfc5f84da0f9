"""The options of `refine`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ..chunked_config import ChunkedConfig
from ..config import INPUT, REFINEMENT, SEARCH, option
from ..mask_input import mask_option
from ..refinement_config import assign_option, batch_size_option, refinement_box_option


@dataclass(frozen=True)
class RefineConfig(ChunkedConfig):
    command: ClassVar[str] = "refine"
    title: ClassVar[str] = "refine poses"
    description: ClassVar[str] = "refine poses against a volume, to noise-limited accuracy"
    place: ClassVar[int] = 50
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("volume", "particles")
    thread_per_batch: ClassVar[bool] = True

    particles: Optional[str] = option(
        None,
        "Particles with the poses to start from.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    volume: Optional[str] = option(
        None,
        "Volume to refine against, in the frame of the poses.",
        label="Volume",
        group=INPUT,
        path="MRC",
    )
    mask: Optional[str] = mask_option("The volume is multiplied by it.", INPUT)
    symmetry: str = option(
        "C1",
        "Point group of the volume (C1, C4, D2, T, O, I, ...).",
        label="Symmetry",
        group=INPUT,
    )
    assign: str = assign_option(
        "What is refined. 'angles': the shifts stay as they are given. 'shifts': the orientations "
        "stay, and the best shift within the shift search range is found. Junk is not told then, "
        "and the part that stays keeps the errors that it came with.",
        {"angles": "orientations only", "shifts": "shifts only"},
    )
    resolution_angstrom: Optional[float] = option(
        None,
        "Images and volume are compared up to this resolution. Default: the resolution up to "
        "which they agree. Do not go beyond the resolution of the volume, where poses would fit "
        "noise.",
        label="Resolution limit",
        group=REFINEMENT,
        unit="Å",
        minimum=0.1,
        maximum=1000,
    )
    prior_deg: Optional[float] = option(
        None,
        "Standard deviation of a Gaussian prior around the given orientations, which keeps the "
        "poses near them. Default: no prior.",
        label="Prior on the orientations",
        group=REFINEMENT,
        unit="°",
        expert=True,
        minimum=0.001,
        maximum=360,
    )
    prior_shift_px: Optional[float] = option(
        None,
        "Standard deviation of a Gaussian prior around the given shifts, in pixels of the images "
        "(the smallest pixels, if optics groups differ). Default: no prior.",
        label="Prior on the shifts",
        group=REFINEMENT,
        unit="px",
        expert=True,
        minimum=0.0001,
        maximum=1000,
    )
    defocus_prior_angstrom: Optional[float] = option(
        None,
        "Refine the defocus of each image together with its pose: standard deviation of the prior "
        "around the given defocus, usually 100 to 500. Both defocus values change equally. It needs "
        "images as recorded, and detail finer than about 8 Å to pay. Default: the defocus stays.",
        label="Refine the defocus within",
        group=REFINEMENT,
        unit="Å",
        expert=True,
        minimum=1,
        maximum=20000,
    )
    working_box_px: Optional[int] = refinement_box_option(
        "Images larger than this are binned to this box size, with the same field of view. A "
        "smaller box is faster but leaves out finer detail. Default: 128."
    )
    search_deg: float = option(
        0.0,
        "Also start from orientations around each given one, up to this angle away. Use it if "
        "poses may be wrong by more than about 15°; it takes longer. 0: start from the given "
        "poses only. 180: search all orientations.",
        label="Angular search range",
        group=SEARCH,
        unit="°",
        minimum=0,
        maximum=180,
    )
    search_starts: int = option(
        24,
        "Number of orientations that are tried around each given one.",
        label="Orientations in the search",
        group=SEARCH,
        expert=True,
        minimum=1,
        maximum=10**4,
    )
    search_shift_px: float = option(
        3.0,
        "Range around the given shift in which the best one is looked for at low resolution, before "
        "the refinement, in pixels of the images. With a prior on the shifts it is not looked for. "
        "0: start from the given shift.",
        label="Shift search range",
        group=SEARCH,
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )
    batch_size: int = batch_size_option("refinement batch")

    def validate(self) -> None:
        """ConfigError for a combination that is not possible."""
        super().validate()
        if self.assign == "shifts" and self.search_deg:
            raise ConfigError(
                f"refine: --assign shifts keeps the orientations, and --search-deg is "
                f"{self.search_deg:g}; leave one of them out."
            )
        if self.defocus_prior_angstrom is not None and (self.prior_deg or self.prior_shift_px):
            raise ConfigError(
                "refine: --defocus-prior-angstrom does not go with --prior-deg or --prior-shift-px; "
                "leave one of them out."
            )
