"""The options of `filter`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ...core.geometry.symmetry import parse_symmetry
from ...core.scores import RANKING, TRACE, title_of
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
        TRACE,
        "Score that ranks the particles if --keep-quantile or --threshold is given; not used "
        "otherwise. Uncertainties of the network rank particles but are not angles. After a "
        "refinement against a volume, these are also available: the expected error in degrees, "
        "the probability that the pose is wrong altogether, and the residual, which is 1 if "
        "volume and pose leave only noise. After a recovery from distances: the residual of the "
        "distances and the outlier score.",
        label="Score",
        group=FILTER,
        choices=RANKING,
        titles={name: title_of(name) for name in RANKING},
    )
    keep_quantile: Optional[float] = option(
        None,
        "Fraction of the particles to keep, the most certain first: 0.75 keeps three quarters of "
        "them, whatever their scores. Particles with equal scores stay together. Default: without "
        "it and without --threshold, the probability of junk and the expected error decide. Not "
        "used if --threshold is given.",
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
    false_discovery_rate: float = option(
        0.01,
        "Largest expected share of junk among the particles that are kept, if the probability of "
        "junk decides. Use a larger value to lose fewer particles, and a smaller one for a purer "
        "set. No particle that is more likely junk than not is kept.",
        label="False discovery rate",
        group=FILTER,
        minimum=1e-6,
        maximum=0.5,
    )
    resolution_angstrom: Optional[float] = option(
        None,
        "Resolution for which the set is chosen, if neither fraction nor threshold is given: "
        "particles are rejected whose errors blur the reconstruction there more than the particles "
        "add to it. Default: the resolution at which the typical error leaves 0.61 of the signal.",
        label="Resolution",
        alias="--resolution",
        group=FILTER,
        unit="Å",
        minimum=0.5,
        maximum=1000,
        expert=True,
    )
    even_views: bool = option(
        False,
        "Keep the same share of every view: particles are ranked among those of similar viewing "
        "direction. Use it if the log warns that the filter makes the views less even.",
        label="Same share of every view",
        group=FILTER,
    )
    symmetry: str = option(
        "C1",
        "Point group of the particle (C1, C4, D2, T, O, I, ...), by which views are equivalent.",
        label="Symmetry",
        group=FILTER,
        expert=True,
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
        parse_symmetry(self.symmetry)
        if self.automatic and self.score != TRACE:
            raise ConfigError(
                f"filter: --score {self.score} is given, but not how many particles to keep by it; "
                "give --keep-quantile or --threshold too, or leave the score at its default to let "
                "the probability of junk decide."
            )
        if not self.automatic and self.resolution_angstrom is not None:
            raise ConfigError(
                "filter: --resolution-angstrom is used only if neither --keep-quantile nor "
                "--threshold is given; leave one of them out."
            )

    @property
    def automatic(self) -> bool:
        """Whether the probability of junk and the expected error decide."""
        return self.threshold is None and self.keep_quantile is None

    @property
    def by_share(self) -> bool:
        """Whether a fraction of the particles is kept."""
        return self.threshold is None and self.keep_quantile is not None

    def number_kept(self, number: int) -> int:
        """How many of `number` particles the fraction keeps."""
        return int(math.floor((self.keep_quantile or 0.0) * number + 0.5))

    def check_number(self, number: int) -> None:
        """Raise ConfigError if the fraction keeps none of `number` particles."""
        if self.by_share and not self.number_kept(number) and not self.allow_none:
            raise ConfigError(
                f"filter: --keep-quantile {self.keep_quantile:g} keeps none of the {number} "
                "particles; give a larger value."
            )
