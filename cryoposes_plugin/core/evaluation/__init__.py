"""Errors of estimated poses against true ones, the common frame in which two sets of poses agree
best, and how evenly views fill Fourier space.
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
from .views import Sampling, sampling_compensation_factor, views_statement

__all__ = (
    "HANDS",
    "Orthogonal4",
    "Registration",
    "Sampling",
    "angular_errors_deg",
    "pair_distances_deg",
    "register",
    "register_orthogonal4",
    "sampling_compensation_factor",
    "shift_errors_angstrom",
    "summarise_angles",
    "summarise_shifts",
    "views_statement",
)
