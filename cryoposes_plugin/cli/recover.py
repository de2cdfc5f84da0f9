"""`cryoposes recover`: rotations from pairwise distances."""

from __future__ import annotations

from ..core.config import RecoverConfig
from ..core.recovery.recover import check, run

CONFIG = RecoverConfig

__all__ = ["CONFIG", "check", "run"]
