"""What `filter` can be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ...core.errors import ConfigError
from ...core.scores import RANKING, title_of
from ..config import Config, option


@dataclass(frozen=True)
class FilterConfig(Config):
    command: ClassVar[str] = "filter"
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(
        None, "Particle STAR file with scores, as `infer` writes it.", path=True
    )
    score: str = option(
        "cryoposesTrace",
        "What to filter by. The network's uncertainties rank and are no angles. After a refinement there are also the "
        "expected error in degrees, the probability that the pose is a wrong one, and the residual, 1 where volume and "
        "pose leave nothing but noise; after a recovery from distances their residual and the outlier score.",
        choices=RANKING,
        titles=tuple(title_of(name) for name in RANKING),
    )
    keep_quantile: Optional[float] = option(
        0.75,
        "Share of the particles to keep, the most certain ones: 0.75 keeps three of four, whatever their scores; "
        "equal scores stay together.",
        minimum=0,
        maximum=1,
    )
    threshold: Optional[float] = option(
        None,
        "Keep particles whose score is this or more certain: this or less; of a certainty, this or more. Used instead "
        "of the share.",
    )
    allow_none: bool = option(
        False,
        "Keeping no particle is a result and no mistake, as for a part of a larger set.",
        expert=True,
    )

    def validate(self) -> None:
        super().validate()
        if self.threshold is None and self.keep_quantile is None:
            raise ConfigError("filter: neither --keep-quantile nor --threshold is given; give one.")

    def number_kept(self, number: int) -> int:
        """Of so many particles, where a share of them is kept."""
        return int(math.floor((self.keep_quantile or 0.0) * number + 0.5))

    def check_number(self, number: int) -> None:
        """Raise ConfigError where a share keeps none of so many particles."""
        if self.threshold is None and not self.number_kept(number) and not self.allow_none:
            raise ConfigError(
                f"filter: --keep-quantile {self.keep_quantile:g} keeps none of the {number} particles; give a larger "
                "value."
            )
