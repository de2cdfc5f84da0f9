"""`cryoposes compare`: compare two sets of poses."""

from __future__ import annotations

from ..core.config import CompareConfig
from ..core.evaluation.compare import check, run

CONFIG = CompareConfig

__all__ = ["CONFIG", "check", "run"]
