"""What `infer` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import Config, option


@dataclass(frozen=True)
class InferConfig(Config):
    command: ClassVar[str] = "infer"
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("model", "particles")
    thread_per_batch: ClassVar[bool] = True

    model: Optional[str] = option(
        None, "Folder of a trained model (model.keras and model_card.json).", path=True
    )
    particles: Optional[str] = option(None, "Particle STAR file.", path=True)
    volume: Optional[str] = option(
        None,
        "Volume (MRC, or the atomic model) that the network was trained on: poses are refined against it; without it "
        "the network's orientations and the input's shifts are what there is.",
        path=True,
    )
    refine: bool = option(
        True,
        "Refine the network's best hypotheses against the volume, to the limit that the noise sets; each pose then "
        "gets its expected error. Otherwise the orientations are the network's and only the shifts are measured.",
    )
    hypotheses: int = option(
        256,
        "Orientations that the network proposes for each particle, at most; fewer where it is sure. More find more of "
        "the poses of very noisy images, and take longer.",
        expert=True,
        minimum=1,
        maximum=1024,
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
    max_shift_px: float = option(
        8.0,
        "Largest shift looked for, in pixels of the model's images. Give more for particles that are poorly centred.",
        unit="px",
        expert=True,
        minimum=0,
        maximum=1000,
    )
    batch_size: int = option(
        256,
        "Images worked on at once: a matter of speed and memory, not of the result.",
        expert=True,
        minimum=1,
        maximum=10**6,
    )
