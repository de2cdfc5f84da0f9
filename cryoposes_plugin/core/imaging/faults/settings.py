"""Which faults simulated images have. Plain values, which Scipion's GUI can import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple


@dataclass(frozen=True)
class Faults:
    """How much of each fault there is; zeros for none.

    Attributes
    ----------
    junk_fraction : share of the images that show no single, centred particle.
    preferred_share : share of the particles that are seen in preferred views.
    misplaced_share, misplaced_angstrom : share of the centres that a picker missed, and by how much
        on average.
    duplicate_fraction : share of the images that show the particle of another image again.
    neighbours : mean number of other particles with their centre in the box.
    scale_spread : standard deviation of the logarithm of the particles' contrast.
    bfactor_spread_angstrom2 : of the particles' B-factors above the stated one.
    defocus_error_angstrom : standard deviation of true less stated defocus.
    pixel_size_error : true over stated pixel size, less one.
    ice_thickness_angstrom : mean thickness of the ice.
    ice_gradient : standard deviation of the rise of the background across the box, in standard
        deviations of the noise.
    dose_e_per_angstrom2 : exposure of the dose-weighted images.
    beam_tilt_mrad, magnification_anisotropy : of the microscope.
    """

    junk_fraction: float = 0.0
    preferred_share: float = 0.0
    misplaced_share: float = 0.0
    misplaced_angstrom: float = 20.0
    duplicate_fraction: float = 0.0
    neighbours: float = 0.0
    scale_spread: float = 0.0
    bfactor_spread_angstrom2: float = 0.0
    defocus_error_angstrom: float = 0.0
    pixel_size_error: float = 0.0
    ice_thickness_angstrom: float = 0.0
    ice_gradient: float = 0.0
    dose_e_per_angstrom2: float = 0.0
    beam_tilt_mrad: Tuple[float, ...] = ()
    magnification_anisotropy: float = 0.0
