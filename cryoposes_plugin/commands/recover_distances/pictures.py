"""The pictures of `recover-distances`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ..drawing import Picture
from .config import RecoverDistancesConfig

#: Titles of the pictures that a recovery saves.
SAVED_TITLES = {
    "recovery_loss": "Residuals during the recovery",
    "residual_histogram": "Residuals of pairs and of particles",
    "distances": "Distances as given against those of the recovered rotations",
}


def pictures(folder: Path, config: RecoverDistancesConfig) -> Dict[str, Picture]:
    """None that are drawn again: those of the report are saved."""
    return {}
