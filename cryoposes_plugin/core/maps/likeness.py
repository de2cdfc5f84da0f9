"""How alike two maps are, whatever their orientation about the centre of their boxes.

On a sphere about the centre, the power of a density within the spherical harmonics of one degree
does not change when the map is turned (Kazhdan, Funkhouser & Rusinkiewicz 2003). By the addition
theorem it is the double mean of f(x) f(y) P_l(<x, y>) over the sphere, times 2 l + 1.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.special import eval_legendre

from ..fourier.filters import low_pass
from ..geometry.sampling import healpix_directions
from ..types import Volume

#: Radii of the spheres; detail below the resolution does not count.
RADII_ANGSTROM = np.arange(10.0, 161.0, 10.0)
_RESOLUTION_ANGSTROM = 20.0
DEGREES = np.arange(1, 9)
_HEALPIX_ORDER = 3


def sphere_amplitudes(volume: Volume) -> np.ndarray:
    """(spheres, degrees) root mean square of a map's density within each degree, times the sphere's
    radius, scaled to the norm 1; spheres beyond the box are empty.

    Density below the mean counts as none. A map without density gives zeros.
    """
    pixel, centre = volume.pixel_size_angstrom, volume.box_size_px // 2
    density = low_pass(volume.data, pixel, max(_RESOLUTION_ANGSTROM, 2 * pixel))
    density = np.clip(density - density.mean(), 0.0, None)
    directions = healpix_directions(_HEALPIX_ORDER)
    cosines = np.clip(directions @ directions.T, -1.0, 1.0)
    places = RADII_ANGSTROM[:, None, None] / pixel * directions[:, ::-1] + centre
    values = map_coordinates(density, np.moveaxis(places, -1, 0), order=1)
    powers = [
        (2 * degree + 1) * np.einsum("si,ij,sj->s", values, eval_legendre(degree, cosines), values)
        for degree in DEGREES
    ]
    amplitudes = RADII_ANGSTROM[:, None] * np.sqrt(np.clip(np.stack(powers, axis=1), 0.0, None))
    norm = np.linalg.norm(amplitudes)
    return amplitudes / norm if norm > 0 else amplitudes


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two maps' amplitudes, from 0 to 1 for maps of one shape."""
    return float(np.sum(first * second))
