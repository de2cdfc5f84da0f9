"""The options of `filter`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ...core.scores import RANKING, title_of
from ..config import FILTER, INPUT, Config, option


@dataclass(frozen=True)
class FilterConfig(Config):
    command: ClassVar[str] = "filter"
    title: ClassVar[str] = "filter by uncertainty"
    description: ClassVar[str] = "separate confident particles from the rest"
    place: ClassVar[int] = 90
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(
        None,
        "Particles with scores, as `infer` or `refine` writes them.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    score: str = option(
        "cryoposesTrace",
        "Score that decides which particles are kept. Uncertainties of the network rank particles "
        "but are not angles. After a refinement against a volume, these are also available: the "
        "expected error in degrees, the probability that the pose is wrong altogether, and the "
        "residual, which is 1 if volume and pose leave only noise. After a recovery from "
        "distances: the residual of the distances and the outlier score.",
        label="Score",
        group=FILTER,
        choices=RANKING,
        titles={name: title_of(name) for name in RANKING},
    )
    keep_quantile: Optional[float] = option(
        0.75,
        "Fraction of the particles to keep, the most certain first: 0.75 keeps three quarters of "
        "them, whatever their scores. Particles with equal scores stay together. Not used if "
        "--threshold is given.",
        label="Fraction to keep",
        group=FILTER,
        minimum=0,
        maximum=1,
    )
    threshold: Optional[float] = option(
        None,
        "If given, it replaces the fraction: particles are kept whose score is this value or more "
        "certain, that is, this value or lower. For scores where higher is better, this value or "
        "higher.",
        label="Threshold",
        group=FILTER,
    )
    allow_none: bool = option(
        False,
        "Do not stop with an error if no particle is kept, for example if the particles are part "
        "of a larger set.",
        label="Allow an empty result",
        group=FILTER,
        expert=True,
    )

    def validate(self) -> None:
        super().validate()
        if self.threshold is None and self.keep_quantile is None:
            raise ConfigError("filter: neither --keep-quantile nor --threshold is given; give one.")

    def number_kept(self, number: int) -> int:
        """How many of `number` particles the fraction keeps."""
        return int(math.floor((self.keep_quantile or 0.0) * number + 0.5))

    def check_number(self, number: int) -> None:
        """Raise ConfigError if the fraction keeps none of `number` particles."""
        if self.threshold is None and not self.number_kept(number) and not self.allow_none:
            raise ConfigError(
                f"filter: --keep-quantile {self.keep_quantile:g} keeps none of the {number} "
                "particles; give a larger value."
            )
