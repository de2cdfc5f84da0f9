"""`cryoposes reconstruct`: a volume, its half maps and their FSC from particles with poses."""

from __future__ import annotations

from ..core.config import ReconstructConfig
from ..core.reconstruction.reconstruct import check, run

CONFIG = ReconstructConfig

__all__ = ["CONFIG", "check", "run"]
