"""`cryoposes infer`: estimate poses and their uncertainty."""

from __future__ import annotations

from ..core.config import InferConfig
from ..core.learning.infer import check, run

CONFIG = InferConfig

__all__ = ["CONFIG", "check", "run"]
