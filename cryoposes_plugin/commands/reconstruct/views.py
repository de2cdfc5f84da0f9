"""The views of a reconstruction: how they fill Fourier space, and how the FSC depends on the
direction.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional, Union

import numpy as np
from matplotlib.figure import Figure

from ...core.evaluation.views import Sampling, sampling_compensation_factor, views_statement
from ...core.geometry.symmetry import symmetry_rotations
from ...core.maps.conical_fsc import ConicalFsc, fsc_in_cones


class Views(NamedTuple):
    """What the poses fill of Fourier space, and what the half maps have of it."""

    sampling: Sampling
    cones: ConicalFsc


def measured_views(
    rotations: np.ndarray,
    weights: Optional[np.ndarray],
    symmetry: str,
    half1: np.ndarray,
    half2: np.ndarray,
) -> Views:
    """SCF* of the poses and cFAR of the half maps.

    Parameters
    ----------
    rotations : (N, 3, 3) of the particles.
    weights : (N,) of the particles, or None.
    symmetry : point group that was imposed.
    half1, half2 : (D, D, D), masked.
    """
    sampling = sampling_compensation_factor(rotations, symmetry_rotations(symmetry), weights)
    return Views(sampling, fsc_in_cones(half1, half2))


def view_numbers(views: Views) -> Dict[str, Union[float, str]]:
    """The numbers for metrics.json, and what they say."""
    return {
        "scf_star": round(views.sampling.scf_star, 5),
        "scf": round(views.sampling.scf, 5),
        "unseen_directions_share": round(views.sampling.unseen_share, 5),
        "cfar": round(views.cones.ratio, 5),
        "views_statement": views_statement(views.sampling.scf_star, views.cones.ratio),
    }


def sampling_figure(sampling: Sampling) -> Figure:
    """Slices through each direction, with SCF* in the title."""
    from ...core import plots

    title = f"Coverage of Fourier space: SCF* {sampling.scf_star:.3f}"
    return plots.slices_by_direction(sampling.directions, sampling.slices, title)


def cones_figure(cones: ConicalFsc, pixel_size_angstrom: float) -> Figure:
    """FSC over the directions, with cFAR in the title."""
    from ...core import plots

    shells = cones.curves.shape[1]
    frequency = np.arange(shells) / (2 * (shells - 1) * pixel_size_angstrom)
    title = f"FSC by direction: cFAR {cones.ratio:.3f}"
    return plots.fsc_by_direction(frequency, cones.curves, title)
