"""The Fourier floor: shells, phase ramps, masks, filters, resampling, slices and the CTF."""

from .ctf import ctf_values, frequency_grid, signal_filter
from .filters import gaussian_transfer, low_pass
from .gridding import interpolation_kernel, padded_for_interpolation
from .masks import circular_mask, falling_edge, rising_edge, soft_circle, soft_sphere
from .phase_ramp import axis_ramps, line_phases, point_ramp
from .points import FourierPoints, half_plane
from .resampling import projected_density, resample_images, resample_volume
from .shells import multiplicity, shell_counts, shell_index, shell_means, shell_sums
from .slices import SliceSampler, ctf_weighted

__all__ = [
    "FourierPoints",
    "SliceSampler",
    "axis_ramps",
    "circular_mask",
    "ctf_values",
    "ctf_weighted",
    "falling_edge",
    "frequency_grid",
    "gaussian_transfer",
    "half_plane",
    "interpolation_kernel",
    "line_phases",
    "low_pass",
    "multiplicity",
    "padded_for_interpolation",
    "point_ramp",
    "projected_density",
    "resample_images",
    "resample_volume",
    "rising_edge",
    "shell_counts",
    "shell_index",
    "shell_means",
    "shell_sums",
    "signal_filter",
    "soft_circle",
    "soft_sphere",
]
