"""The results of `infer` for a particle set, whichever way the poses were estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Sequence, Tuple

from matplotlib.figure import Figure

from ...core.types import ParticleTable


@dataclass(frozen=True)
class Estimate:
    """Poses of all particles.

    Attributes
    ----------
    table : the particles at their poses, with scores.
    particles_per_second : 0 if an earlier run had finished all particles.
    metrics : numbers that belong to this way of estimation.
    notes : sentences on the poses.
    warnings : sentences that come before all others.
    lead : what was done, for the top of the report.
    figures : draws the figures of the report, name -> (caption, figure).
    """

    table: ParticleTable
    particles_per_second: float
    metrics: Dict[str, Any]
    notes: Sequence[str]
    warnings: Sequence[str]
    lead: str
    figures: Callable[[], Dict[str, Tuple[str, Figure]]]
