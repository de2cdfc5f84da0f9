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
    rotation_differences_rad,
    sparsification,
    wrong_pose_of_particle,
)
from .errors import (
    angular_errors_deg,
    shift_errors_angstrom,
    summarise_angles,
    summarise_shifts,
)
from .orthogonal4 import Orthogonal4, register_orthogonal4
from .pair_distances import pair_distances_deg
from .particle_number import (
    SignalPerImage,
    b_factor_line,
    number_by_b_factor,
    signal_per_image,
)
from .registration import HANDS, Registration, register
from .selection import (
    Gaining,
    accept_at_rate,
    accept_gaining,
    accept_share,
    accept_share_of_cells,
    displacement_angstrom,
    remaining_signal,
    typical_resolution_angstrom,
    view_cells,
)
from .views import Sampling, sampling_compensation_factor, views_statement

__all__ = (
    "ChiSquare",
    "Coverage",
    "Gaining",
    "HANDS",
    "Orthogonal4",
    "Registration",
    "Reliability",
    "Sampling",
    "SignalPerImage",
    "Sparsification",
    "accept_at_rate",
    "accept_gaining",
    "accept_share",
    "accept_share_of_cells",
    "angular_errors_deg",
    "b_factor_line",
    "brier_score",
    "chi_square",
    "coverage",
    "displacement_angstrom",
    "error_reliability",
    "number_by_b_factor",
    "pair_distances_deg",
    "probability_reliability",
    "ranking_areas",
    "register",
    "register_orthogonal4",
    "remaining_signal",
    "rotation_differences_rad",
    "sampling_compensation_factor",
    "shift_errors_angstrom",
    "signal_per_image",
    "sparsification",
    "summarise_angles",
    "summarise_shifts",
    "typical_resolution_angstrom",
    "view_cells",
    "views_statement",
    "wrong_pose_of_particle",
)
