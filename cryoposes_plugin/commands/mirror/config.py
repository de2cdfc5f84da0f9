"""The options of `mirror`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ..config import INPUT, Config, option


@dataclass(frozen=True)
class MirrorConfig(Config):
    command: ClassVar[str] = "mirror"
    title: ClassVar[str] = "mirror volume and poses"
    description: ClassVar[str] = "give a volume and the poses that belong to it the other hand"
    place: ClassVar[int] = 105
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)

    volume: Optional[str] = option(
        None,
        "Volume to be mirrored.",
        label="Volume",
        group=INPUT,
        path="MRC",
    )
    half1: Optional[str] = option(
        None,
        "First half map of the volume. Give both half maps or none.",
        label="Half map 1",
        group=INPUT,
        path="MRC",
    )
    half2: Optional[str] = option(
        None,
        "Second half map of the volume.",
        label="Half map 2",
        group=INPUT,
        path="MRC",
    )
    mask: Optional[str] = option(
        None,
        "Mask of the volume.",
        label="Mask",
        group=INPUT,
        path="MRC",
    )
    particles: Optional[str] = option(
        None,
        "Particles with poses in the frame of the volume. Their images stay as they are; their "
        "poses become those of the mirrored volume.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    flip: str = option(
        "z",
        "How the hand is changed. 'z': x and y stay, z becomes -z. 'centre': x, y and z change "
        "their signs, which leaves every axis of symmetry in place; choose it for the point groups "
        "T, I3 and I4, whose axes a mirror along z moves.",
        label="Flip",
        group=INPUT,
        choices=("z", "centre"),
        titles={"z": "along z", "centre": "through the centre"},
    )

    def validate(self) -> None:
        super().validate()
        if (self.half1 is None) != (self.half2 is None):
            missing = "half1" if self.half1 is None else "half2"
            raise ConfigError(f"mirror: --{missing} is missing; give both half maps, or none.")
        if not any((self.volume, self.half1, self.mask, self.particles)):
            raise ConfigError(
                "mirror: there is nothing to mirror; give --volume, --particles, or both."
            )
