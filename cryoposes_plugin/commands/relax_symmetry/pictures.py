"""The pictures of `relax-symmetry`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ..drawing import Picture, pose_pictures
from .config import RelaxSymmetryConfig

#: Titles of the pictures that the run saves.
SAVED_TITLES = {"mate_probability": "Probability of the best symmetry mate"}


def pictures(folder: Path, config: RelaxSymmetryConfig) -> Dict[str, Picture]:
    """The poses and their scores."""
    return pose_pictures(folder, config)
