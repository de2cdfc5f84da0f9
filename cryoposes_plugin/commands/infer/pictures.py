"""The pictures of `infer`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

from ..drawing import Picture, pose_pictures
from ..refine.pictures import SAVED_TITLES
from .config import InferConfig

__all__ = ["SAVED_TITLES", "pictures"]


def pictures(folder: Path, config: InferConfig) -> Dict[str, Picture]:
    """The poses, their uncertainty and, with a volume, particles with their reprojections."""
    return pose_pictures(folder, config)
