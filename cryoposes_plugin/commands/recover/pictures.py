"""The pictures of `recover`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ..drawing import Picture, pose_pictures
from .config import RecoverConfig

#: Titles of the pictures that a recovery saves.
SAVED_TITLES = {
    "recovery_loss": "Residuals during the recovery",
    "residual_histogram": "Residuals of pairs and of particles",
    "distances": "Distances from the network against those between the poses",
    "distance_density": "Distances from the network against true ones",
}


def pictures(folder: Path, config: RecoverConfig) -> Dict[str, Picture]:
    """The poses, their scores and, with a volume, particles with their reprojections."""
    return pose_pictures(folder, config)
