"""Rotations: distances and means, distributions and grids of orientations, and point groups.

The names below are loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "angular_distance_rad": "rotations",
    "healpix_rotations": "sampling",
    "mean_rotation": "rotations",
    "nearest_equivalent": "symmetry",
    "parse_symmetry": "symmetry",
    "project_to_so3": "rotations",
    "quaternion_distance_rad": "rotations",
    "random_rotations": "sampling",
    "symmetric_distance_rad": "symmetry",
    "symmetry_rotations": "symmetry",
}
__all__ = tuple(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
