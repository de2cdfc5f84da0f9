"""Distributions that poses and CTFs of simulated images are drawn from. Plain values, which
Scipion's GUI can import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class PoseDistribution:
    """Distribution of orientations and in-plane shifts.

    orientations : "uniform" on SO(3), "healpix", "euler" (uniform Euler angles), "half-sphere",
        "quarter-sphere" or
    "preferred" views.
    preferred_directions_deg : (rot, tilt, rot, tilt, ...) of the preferred views.
    preferred_concentration : kappa of the von Mises-Fisher distribution around each of them.
    shifts : "none", "gaussian", "triangular" or "uniform", along x and y.
    shift_px : standard deviation (gaussian) or half width (triangular, uniform), in pixels of the
        images.
    """

    orientations: str = "uniform"
    preferred_directions_deg: Tuple[float, ...] = (0.0, 0.0)
    preferred_concentration: float = 10.0
    shifts: str = "gaussian"
    shift_px: float = 1.5


@dataclass(frozen=True)
class CtfDistribution:
    """Distribution of contrast transfer functions.

    defocus_range_angstrom : smallest and largest underfocus, drawn uniformly.
    astigmatism_angstrom : largest difference of the two defoci; the angle is uniform.
    The other values are the same for every image.
    """

    defocus_range_angstrom: Tuple[float, float] = (8000.0, 25000.0)
    astigmatism_angstrom: float = 0.0
    phase_shift_deg: float = 0.0
    voltage_kv: float = 300.0
    spherical_aberration_mm: float = 2.7
    amplitude_contrast: float = 0.1
    bfactor_angstrom2: float = 0.0


@dataclass(frozen=True)
class Imaging:
    """How simulated images are drawn. ctf : None for images without a CTF."""

    poses: PoseDistribution = PoseDistribution()
    ctf: Optional[CtfDistribution] = CtfDistribution()
