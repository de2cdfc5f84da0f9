"""The pictures of `refine`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ..drawing import Picture, pose_pictures
from .config import RefineConfig

#: Titles of the pictures that a refinement saves.
SAVED_TITLES = {
    "agreement": "Amplitude of the volume and of the noise in the images",
    "expected_error": "Expected errors",
    "moved": "How far the poses moved",
}


def pictures(folder: Path, config: RefineConfig) -> Dict[str, Picture]:
    """The poses, their expected errors, and particles with their reprojections."""
    return pose_pictures(folder, config)
