"""`cryoposes simulate`: projections of one or several volumes, with CTF, shifts and noise."""

from __future__ import annotations

from ..core.config import SimulateConfig
from ..core.simulation.simulate import check, run

CONFIG = SimulateConfig

__all__ = ["CONFIG", "check", "run"]
