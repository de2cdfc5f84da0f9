"""Errors of estimated poses against true ones, and the common frame in which two sets of poses
agree best.
"""

from .errors import (
    angular_errors_deg,
    shift_errors_angstrom,
    summarise_angles,
    summarise_shifts,
)
from .orthogonal4 import Orthogonal4, register_orthogonal4
from .pair_distances import pair_distances_deg
from .registration import HANDS, Registration, register

__all__ = (
    "HANDS",
    "Orthogonal4",
    "Registration",
    "angular_errors_deg",
    "pair_distances_deg",
    "register",
    "register_orthogonal4",
    "shift_errors_angstrom",
    "summarise_angles",
    "summarise_shifts",
)
