"""The size of the particle in a map or in an average image."""

from __future__ import annotations

from typing import Iterator

import numpy as np

from ..fourier.masks import squared_radius
from ..fourier.shells import shell_means
from ..types import Volume

#: A profile below this share of its height counts as background.
_BACKGROUND_SHARE = 0.08
#: Suggested diameter over that of the visible particle.
_MARGIN = 1.1


def bright_part(density: np.ndarray) -> np.ndarray:
    """Of a density (D, D, D), what exceeds mean + one standard deviation; 0 elsewhere."""
    return np.clip(density - density.mean() - density.std(), 0, None)


def radius_of_gyration_px(density: np.ndarray) -> float:
    """Root mean square distance of the bright part of a (D, D, D) volume from voxel D // 2.

    In double precision, plane by plane: a copy of a large map would be the most memory of a run.
    """
    mean = density.mean(dtype=np.float64)
    variance = sum(float(((plane - mean) ** 2).sum()) for plane in _doubles(density)) / density.size
    least = mean + np.sqrt(variance)

    box, within_plane = len(density), squared_radius(len(density), 2)
    weight = moment = 0.0
    for z, plane in enumerate(_doubles(density)):
        bright = np.clip(plane - least, 0, None)
        weight += float(bright.sum())
        moment += float((bright * (within_plane + (z - box // 2) ** 2)).sum())
    return float(np.sqrt(moment / max(weight, 1e-30)))


def _doubles(density: np.ndarray) -> Iterator[np.ndarray]:
    """The planes of a (D, D, D) volume as float64."""
    return (plane.astype(np.float64) for plane in density)


def radius_of_gyration_angstrom(volume: Volume) -> float:
    """The same of a volume, in Å."""
    return radius_of_gyration_px(volume.data) * volume.pixel_size_angstrom


def radial_profile(image: np.ndarray) -> np.ndarray:
    """(D // 2,) means of a (D, D) image over rings of one pixel about pixel D // 2."""
    box = image.shape[0]
    rings = np.rint(np.sqrt(squared_radius(box, 2))).astype(np.intp)
    return shell_means(image, rings, box // 2)


def suggested_diameter_angstrom(image: np.ndarray, pixel_size_angstrom: float) -> float:
    """Diameter (Å) of a circle around the particle in an average image (D, D), with a margin.

    The background is the outermost tenth of the radial profile. The diameter is at most the box.
    """
    profile = radial_profile(np.asarray(image, dtype=np.float64))
    profile = np.abs(profile - profile[-max(1, len(profile) // 10) :].mean())
    beyond = np.flatnonzero(profile > _BACKGROUND_SHARE * profile.max())
    radius = (beyond[-1] + 1) * _MARGIN if len(beyond) else len(profile)
    return float(2 * min(radius, image.shape[0] / 2) * pixel_size_angstrom)
