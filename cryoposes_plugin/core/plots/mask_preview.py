"""How large a particle is on an average image, to choose a mask by."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ..fourier.masks import squared_radius
from ..fourier.shells import shell_means
from .figures import ORANGE, single_axes

#: Share of the profile's height below which it counts as background, and the margin left around the particle.
_LOW, _MARGIN = 0.08, 1.1


def radial_profile(image: np.ndarray) -> np.ndarray:
    """(D // 2,) means of a (D, D) image over rings of one pixel about pixel D // 2."""
    box = image.shape[0]
    rings = np.rint(np.sqrt(squared_radius(box, 2))).astype(np.intp)
    return shell_means(image, rings, box // 2)


def suggested_diameter_angstrom(image: np.ndarray, pixel_size_angstrom: float) -> float:
    """Diameter (Å) of a circle around what stands out of the background of an average image (D, D), with a margin.

    The background is the outermost tenth of the profile; never more than the box.
    """
    profile = radial_profile(np.asarray(image, dtype=np.float64))
    profile = np.abs(profile - profile[-max(1, len(profile) // 10) :].mean())
    beyond = np.flatnonzero(profile > _LOW * profile.max())
    radius = (beyond[-1] + 1) * _MARGIN if len(beyond) else len(profile)
    return float(2 * min(radius, image.shape[0] / 2) * pixel_size_angstrom)


def mask_preview(image: np.ndarray, pixel_size_angstrom: float, diameter_angstrom: float) -> Figure:
    """The image (D, D) with the circle of this diameter (Å)."""
    box = image.shape[0]
    first = -(box // 2 + 0.5) * pixel_size_angstrom
    extent = (first, first + box * pixel_size_angstrom) * 2
    figure, axes = single_axes(
        f"Mask diameter {diameter_angstrom:.0f} Å", "x [Å]", "y [Å]", (5.0, 5.0)
    )
    axes.imshow(image, cmap="gray", origin="lower", extent=extent)
    axes.add_patch(Circle((0, 0), diameter_angstrom / 2, fill=False, edgecolor=ORANGE, linewidth=2))
    axes.grid(False)
    return figure
