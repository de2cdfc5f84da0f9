"""`cryoposes filter`: split a particle set by uncertainty."""

from __future__ import annotations

from ..core.config import FilterConfig
from ..core.uncertainty.filter import check, run

CONFIG = FilterConfig

__all__ = ["CONFIG", "check", "run"]
