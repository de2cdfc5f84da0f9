"""`cryoposes initial-volume`: a first volume and first poses from the images alone."""

from __future__ import annotations

from ..core.abinitio.initial_volume import check, run
from ..core.config import InitialVolumeConfig

CONFIG = InitialVolumeConfig

__all__ = ["CONFIG", "check", "run"]
