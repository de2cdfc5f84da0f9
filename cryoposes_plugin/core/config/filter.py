"""What `filter` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..scores import RANKING, title_of
from .base import Config, option


@dataclass(frozen=True)
class FilterConfig(Config):
    command: ClassVar[str] = "filter"
    last_bits: ClassVar[Tuple[str, ...]] = ("threads",)
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(None, "Particle STAR file with scores, as `infer` writes it.", path=True)
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
        "Share of the particles to keep, the most certain ones: 0.75 keeps three of four, whatever their scores.",
        minimum=0,
        maximum=1,
    )
    threshold: Optional[float] = option(
        None,
        "Keep particles whose score is this or more certain: this or less; of a certainty, this or more. Used instead "
        "of the share.",
    )
    allow_none: bool = option(
        False, "Keeping no particle is a result and no mistake, as for a part of a larger set.", expert=True
    )
