"""`cryoposes train`: a network that estimates poses."""

from __future__ import annotations

from ..core.config import TrainConfig
from ..core.learning.train import check, run

CONFIG = TrainConfig

__all__ = ["CONFIG", "check", "run"]
