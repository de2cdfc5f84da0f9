"""What `recover` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from .base import Config, option


@dataclass(frozen=True)
class RecoverConfig(Config):
    command: ClassVar[str] = "recover"
    required: ClassVar[Tuple[str, ...]] = ("distances",)

    distances: Optional[str] = option(
        None,
        "File (npz) of pairs: arrays i and j (particles, from 0), d (radians), and perhaps weight (inverse variance).",
        path=True,
    )
    method: str = option(
        "spectral",
        "Linear algebra and least squares, or the mini-batch minimisation of Banjac et al. 2021, to compare with.",
        choices=("spectral", "minibatch"),
        expert=True,
    )
    steps: int = option(20000, "Steps of the mini-batch minimisation.", expert=True, minimum=1)
    batch_size: int = option(256, "Pairs a step of the mini-batch minimisation.", expert=True, minimum=1)
    learning_rate: float = option(0.5, "Learning rate of the mini-batch minimisation.", expert=True, minimum=0)
