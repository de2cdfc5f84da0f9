"""What `filter` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from .base import Config, option


@dataclass(frozen=True)
class FilterConfig(Config):
    command: ClassVar[str] = "filter"
    required: ClassVar[Tuple[str, ...]] = ("particles",)

    particles: Optional[str] = option(None, "Particle STAR file with scores, as `infer` writes it.", path=True)
    score: str = option(
        "cryoposesTrace",
        "Column to filter by; lower is more certain. Trace and dispersion are the network's; expected error, "
        "probability of a wrong basin and residual are there after a refinement; distance residual and outlier score "
        "after a recovery from distances.",
        choices=(
            "cryoposesTrace",
            "cryoposesDispersion",
            "cryoposesExpectedErrorDeg",
            "cryoposesWrongBasin",
            "cryoposesResidual",
            "cryoposesDistanceResidualDeg",
            "cryoposesOutlierScore",
        ),
    )
    keep_quantile: Optional[float] = option(
        0.75, "Share of the particles to keep, the most certain ones.", minimum=0, maximum=1
    )
    threshold: Optional[float] = option(
        None, "Keep particles whose score is this or less (lower is more certain); used instead of the share."
    )
