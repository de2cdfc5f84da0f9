"""`cryoposes iterate`: refine and reconstruct in turns."""

from __future__ import annotations

from ..core.config import IterateConfig
from ..core.learning.iterate import check, run

CONFIG = IterateConfig

__all__ = ["CONFIG", "check", "run"]
