"""Figures for reports and viewers: arrays in, matplotlib Figures out, without pyplot.

`figures` holds the common style. Angles are in degrees, lengths in Å.
"""

from .calibration import chi_square_quantiles, reliability_diagram, sparsification_curve
from .directions import direction_maps
from .figures import png_bytes
from .images import image_gallery, mask_preview, particles_beside_reprojections
from .maps import fsc_curve, symmetry_bars, volume_section, volume_slices
from .particle_number import power_spectra, resolution_by_number, told_and_true_errors
from .recovery import distances_against_recovered, loss_curve, residual_histogram
from .refinement import search_course, spectra
from .scores import (
    error_against_uncertainty,
    error_histogram,
    uncertainty_histogram,
    value_histogram,
)
from .training import distance_density, learning_curve
from .views import fsc_by_direction, slices_by_direction

__all__ = (
    "chi_square_quantiles",
    "direction_maps",
    "distance_density",
    "distances_against_recovered",
    "error_against_uncertainty",
    "error_histogram",
    "fsc_by_direction",
    "fsc_curve",
    "image_gallery",
    "learning_curve",
    "loss_curve",
    "mask_preview",
    "particles_beside_reprojections",
    "png_bytes",
    "power_spectra",
    "reliability_diagram",
    "residual_histogram",
    "resolution_by_number",
    "search_course",
    "slices_by_direction",
    "sparsification_curve",
    "spectra",
    "symmetry_bars",
    "told_and_true_errors",
    "uncertainty_histogram",
    "value_histogram",
    "volume_section",
    "volume_slices",
)
