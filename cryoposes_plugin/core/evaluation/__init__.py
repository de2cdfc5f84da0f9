"""Errors of estimated poses against true ones, the common frame in which two sets of poses agree
best, how evenly views fill Fourier space, and whether expected errors are right.
"""

from .calibration import (
    ChiSquare,
    Coverage,
    Reliability,
    Sparsification,
    brier_score,
    chi_square,
    coverage,
    error_reliability,
    probability_reliability,
    ranking_areas,
    sparsification,
)
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
    "ChiSquare",
    "Coverage",
    "Orthogonal4",
    "Registration",
    "Reliability",
    "Sampling",
    "Sparsification",
    "angular_errors_deg",
    "brier_score",
    "chi_square",
    "coverage",
    "error_reliability",
    "pair_distances_deg",
    "probability_reliability",
    "ranking_areas",
    "register",
    "register_orthogonal4",
    "sampling_compensation_factor",
    "shift_errors_angstrom",
    "sparsification",
    "summarise_angles",
    "summarise_shifts",
    "views_statement",
)
