"""`cryoposes refine`: refine poses against a volume."""

from __future__ import annotations

from ..core.config import RefineConfig
from ..core.refinement.refine import check, run

CONFIG = RefineConfig

__all__ = ["CONFIG", "check", "run"]
