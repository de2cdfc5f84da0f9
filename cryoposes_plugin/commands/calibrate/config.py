"""The options of `calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ..comparison_config import comparison_join, comparison_symmetry
from ..config import COMPARISON, INPUT, Config, option


@dataclass(frozen=True)
class CalibrateConfig(Config):
    command: ClassVar[str] = "calibrate"
    title: ClassVar[str] = "check calibration"
    description: ClassVar[str] = "check expected errors against true poses, or a second estimate"
    place: ClassVar[int] = 120
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(
        None,
        "Particles with poses and scores, as 'infer' or 'refine' write them.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    truth: Optional[str] = option(
        None,
        "The same particles with their true poses.",
        label="True poses",
        group=INPUT,
        path="STAR",
    )
    other: Optional[str] = option(
        None,
        "Instead of true poses: a second, independent estimate of the same particles, from another "
        "network or refined against the other half map. Errors that both share are not seen.",
        label="Second estimate",
        group=INPUT,
        path="STAR",
    )
    missing_is_junk: bool = option(
        False,
        "Particles that the true set does not have are junk; otherwise they are left out. Not needed "
        "for simulated sets, whose column cryoposesTrueKind says which images are junk.",
        label="Particles without a true pose are junk",
        group=COMPARISON,
    )
    symmetry: str = comparison_symmetry()
    registration: str = option(
        "auto",
        "How the frames of the two sets are brought together. 'none': not at all, which is right "
        "for poses of one map. 'rotation': by the best common rotation. 'auto': 'none' against "
        "true poses, 'rotation' against a second estimate.",
        label="Registration",
        group=COMPARISON,
        choices=("auto", "none", "rotation"),
        titles={"rotation": "common rotation"},
    )
    join_by: str = comparison_join()

    def validate(self) -> None:
        super().validate()
        if bool(self.truth) == bool(self.other):
            raise ConfigError(
                "calibrate: "
                + (
                    "both --truth and --other are"
                    if self.truth
                    else "neither --truth nor --other is"
                )
                + " given; give one of them."
            )

        if self.missing_is_junk and not self.truth:
            raise ConfigError(
                "calibrate: --missing-is-junk is given without --truth; give the true poses, or "
                "leave it out."
            )
