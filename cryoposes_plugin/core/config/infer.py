"""What `infer` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from .base import Config, option


@dataclass(frozen=True)
class InferConfig(Config):
    command: ClassVar[str] = "infer"
    required: ClassVar[Tuple[str, ...]] = ("model", "particles")

    model: Optional[str] = option(None, "Folder of a trained model (model.keras and model_card.json).", path=True)
    particles: Optional[str] = option(None, "Particle STAR file.", path=True)
    volume: Optional[str] = option(
        None,
        "Volume (MRC) that the network was trained on: poses are refined against it; without it the network's "
        "orientations and the input's shifts are what there is.",
        path=True,
    )
    refine: bool = option(
        True,
        "With a volume: refine the network's best hypotheses against it. Otherwise only the shifts are measured.",
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
        "Refinement: larger images are binned to this box, with the same field of view; default 128.",
        unit="px",
        expert=True,
        minimum=16,
    )
    max_shift_px: float = option(
        8.0, "Largest shift looked for, in pixels of the model's images.", unit="px", expert=True, minimum=0
    )
    batch_size: int = option(256, "Images a batch.", expert=True, minimum=1)
