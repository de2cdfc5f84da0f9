"""Rotations: distances and means, distributions and grids of orientations, and point groups.

The names below are loaded when they are used.
"""

from __future__ import annotations

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "angular_distance_rad": "rotations",
        "cosets": "subgroups",
        "healpix_rotations": "sampling",
        "mean_rotation": "rotations",
        "nearest_equivalent": "symmetry",
        "parse_symmetry": "symmetry",
        "project_to_so3": "rotations",
        "quaternion_distance_rad": "rotations",
        "random_rotations": "sampling",
        "symmetric_distance_rad": "symmetry",
        "symmetry_rotations": "symmetry",
    },
)
