"""The options of `recover-distances`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import INPUT, option
from ..recovery_config import RecoveryConfig


@dataclass(frozen=True)
class RecoverDistancesConfig(RecoveryConfig):
    command: ClassVar[str] = "recover-distances"
    description: ClassVar[str] = "recover rotations from a file of distances between particles"
    place: ClassVar[int] = 80
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)
    required: ClassVar[Tuple[str, ...]] = ("distances",)

    distances: Optional[str] = option(
        None,
        "A file (npz) of distances between particles: arrays i and j (particles, counted from 0), "
        "d (distances in radians) and, optionally, weight (inverse variance).",
        label="File of distances",
        group=INPUT,
        path="NPZ",
    )
