"""The options of `infer`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..chunked_config import ChunkedConfig
from ..config import INPUT, REFINEMENT, option
from ..refinement_config import assign_option, batch_size_option, refinement_box_option


@dataclass(frozen=True)
class InferConfig(ChunkedConfig):
    command: ClassVar[str] = "infer"
    title: ClassVar[str] = "estimate poses"
    description: ClassVar[str] = (
        "estimate the poses of particles and their uncertainty with a trained network"
    )
    place: ClassVar[int] = 40
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("model", "particles")
    thread_per_batch: ClassVar[bool] = True

    particles: Optional[str] = option(
        None,
        "Particles whose poses are estimated. Any box and pixel size are accepted, as long as the "
        "images cover the field of view and the resolution at which the network works.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    model: Optional[str] = option(
        None,
        "A network that `train` has trained to give poses.",
        label="Pose model",
        group=INPUT,
        path="FOLDER",
    )
    volume: Optional[str] = option(
        None,
        "Volume that the network was trained on (a map, or the atomic model). With it, poses are "
        "refined against the volume, and shifts are measured. Without it, the orientations come "
        "from the network alone and the shifts are taken from the input.",
        label="Volume",
        group=INPUT,
        path="MRC",
    )
    refine: bool = option(
        True,
        "Refine the best hypotheses of the network against the volume, to noise-limited accuracy. "
        "Each pose then gets an expected error. Otherwise the orientations are those of the "
        "network, and only the shifts are measured.",
        label="Refine the poses",
        group=REFINEMENT,
    )
    assign: str = assign_option(
        "What is estimated. 'angles': the shifts stay as they are given, and are not searched. Junk "
        "is not told then, and the shifts keep the errors that they came with. For shifts at given "
        "orientations no network is needed: `refine` finds them.",
        {"angles": "orientations only"},
    )
    max_shift_px: float = option(
        8.0,
        "Largest shift that is searched, in pixels of the network's images. Increase it for "
        "poorly centred particles.",
        label="Largest shift",
        group=REFINEMENT,
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )
    hypotheses: int = option(
        256,
        "Largest number of orientations that the network proposes for each particle; it proposes "
        "fewer if it is certain. More hypotheses find the right pose of more very noisy images, "
        "but take longer.",
        label="Number of hypotheses",
        group=REFINEMENT,
        expert=True,
        minimum=1,
        maximum=1024,
    )
    working_box_px: Optional[int] = refinement_box_option(
        "Images larger than this are binned to this box size for the refinement, with the same "
        "field of view. A smaller box is faster but leaves out finer detail. Default: 128."
    )
    batch_size: int = batch_size_option()
