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
        None, "Volume (MRC) that the shifts are measured against; without it the input's shifts are kept.", path=True
    )
    max_shift_px: float = option(
        8.0, "Largest shift looked for, in pixels of the model's images.", unit="px", expert=True, minimum=0
    )
    batch_size: int = option(256, "Images a batch.", expert=True, minimum=1)
