"""Images that do not show one centred particle, for simulations: neighbours, particles far off
centre, edges, other molecules.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
import scipy.fft
from scipy import ndimage

from ..fourier.shells import shell_index, shell_means
from ..geometry.sampling import random_rotations
from ..maps.phantom import (
    BEAD_SIGMA_PX,
    gaussian_projections,
    make_phantom,
    phantom_beads_px,
)
from ..maps.size import radius_of_gyration_px

#: Sizes of other molecules in that of the map.
_SIZES = (0.75, 1.1)
#: Height of an edge in standard deviations of the signal, its width in pixels and place in the box.
_EDGE_HEIGHT, EDGE_WIDTH, _EDGE_PLACE = (1.0, 4.0), (1.0, 6.0), 0.35
#: Of a displacement that leaves enough in the box; then any is taken.
_DRAWS = 100


def displaced(
    image: np.ndarray,
    distances: Tuple[float, float],
    radius_px: float,
    rng: np.random.Generator,
    least_visible: float = 0.0,
) -> np.ndarray:
    """An image (D, D) moved in a random direction, by whole pixels; what leaves the box is lost.

    Parameters
    ----------
    image : (D, D).
    distances : the nearest and the furthest, in radii.
    radius_px : one radius.
    rng : of the draws.
    least_visible : share of the image's power that must stay in the box; drawn again until it does.
    """
    for _ in range(_DRAWS):
        out = moved_onto(image, *way(distances, radius_px, rng), np.zeros_like(image))
        if (out**2).sum() >= least_visible * (image**2).sum():
            break
    return out


def way(
    distances: Tuple[float, float], radius_px: float, rng: np.random.Generator
) -> Tuple[float, float]:
    """Distance in pixels, between two numbers of radii, and angle of a random displacement."""
    distance = rng.uniform(*distances) * radius_px
    return distance, rng.uniform(0, 2 * np.pi)


def whole_step(box_size_px: int, distance_px: float, angle_rad: float) -> Tuple[int, int]:
    """(dx, dy) of the nearest displacement by whole pixels, at most the box."""
    most = box_size_px - 1
    dx, dy = (round(distance_px * f(angle_rad)) for f in (np.cos, np.sin))
    return int(np.clip(dx, -most, most)), int(np.clip(dy, -most, most))


def moved_onto(
    image: np.ndarray, distance_px: float, angle_rad: float, background: np.ndarray
) -> np.ndarray:
    """(D, D) an image moved by whole pixels; what leaves is lost, what is uncovered is background.

    Parameters
    ----------
    image, background : (D, D).
    distance_px, angle_rad : of the step, from the x axis.
    """
    return moved_by(image, *whole_step(len(image), distance_px, angle_rad), background)


def moved_by(image: np.ndarray, dx: int, dy: int, background: np.ndarray) -> np.ndarray:
    """The same by whole pixels along x and y.

    Parameters
    ----------
    image, background : (D, D).
    dx, dy : the step; one pixel is left of an image that is moved out of the box.
    """
    box, out = len(image), background.copy()
    dx, dy = (int(np.clip(step, 1 - box, box - 1)) for step in (dx, dy))
    out[_to(dy, box), _to(dx, box)] = image[_to(-dy, box), _to(-dx, box)]
    return out


def _to(shift: int, box: int) -> slice:
    """Where pixels come to that are moved along an axis."""
    return slice(max(shift, 0), box + min(shift, 0))


def edge(box_size_px: int, rng: np.random.Generator) -> np.ndarray:
    """(D, D) an edge of a carbon film or of ice, for a signal of standard deviation 1: a step
    across the box, of mean 0.
    """
    angle = rng.uniform(0, 2 * np.pi)
    step = unit_edge(box_size_px, rng.uniform(-1, 1), angle, rng.uniform(*EDGE_WIDTH))
    return rng.uniform(*_EDGE_HEIGHT) * step


def unit_edge(box_size_px: int, place: float, angle_rad: float, width_px: float) -> np.ndarray:
    """(D, D) a step across the box, of unit height and mean 0.

    Parameters
    ----------
    box_size_px : D.
    place : from -1 to 1, of those where an edge may lie.
    angle_rad : of the direction in which it rises.
    width_px : of the step.
    """
    distance = along(box_size_px, angle_rad) - place * _EDGE_PLACE * box_size_px
    step = np.tanh(distance / width_px)
    return step - step.mean()


def along(box_size_px: int, angle_rad: float) -> np.ndarray:
    """(D, D) coordinate of each pixel along a direction, from the centre."""
    y, x = np.indices((box_size_px, box_size_px)) - box_size_px // 2
    return x * np.cos(angle_rad) + y * np.sin(angle_rad)


def other_molecule(
    box_size_px: int, pixel_size_angstrom: float, radius_px: float, rng: np.random.Generator
) -> np.ndarray:
    """(D, D, D) density of a made-up molecule of about a given size.

    Parameters
    ----------
    box_size_px, pixel_size_angstrom : of the grid.
    radius_px : radius of gyration of the molecule that it is taken for.
    rng : of molecule and size.
    """
    phantom = make_phantom(box_size_px, pixel_size_angstrom, int(rng.integers(2**31)))
    size = radius_px * rng.uniform(*_SIZES)
    return _magnified(phantom.data, size / radius_of_gyration_px(phantom.data))


def projections_of_another(
    box_size_px: int, radius_px: float, number: int, rng: np.random.Generator
) -> np.ndarray:
    """(B, D, D) float32 projections of a made-up molecule, as those of `other_molecule`, from all
    directions.

    They are drawn bead by bead: no density or transform of a large box is made.

    Parameters
    ----------
    box_size_px : D of the images.
    radius_px : radius of gyration of the molecule that it is taken for.
    number : B.
    rng : of molecule, size and orientations.
    """
    beads = phantom_beads_px(box_size_px, np.random.default_rng(int(rng.integers(2**31))))
    size = radius_px * rng.uniform(*_SIZES)
    factor = size / np.sqrt((beads**2).sum(axis=1).mean())
    rotations = random_rotations(number, rng)
    return gaussian_projections(factor * beads, factor * BEAD_SIGMA_PX, rotations, box_size_px)


def _magnified(density: np.ndarray, factor: float) -> np.ndarray:
    """A density (D, D, D) of `factor` times the size, about voxel D // 2."""
    origin = np.full(3, density.shape[0] // 2, dtype=np.float64)
    inverse = np.eye(3) / factor
    return ndimage.affine_transform(density, inverse, offset=origin - inverse @ origin, order=1)


def with_spectrum_of(reference: np.ndarray, density: np.ndarray) -> np.ndarray:
    """A density (D, D, D) with the power of a reference (D, D, D) in every Fourier shell."""
    shells = shell_index(len(density))
    transform, wanted = (scipy.fft.rfftn(np.asarray(v, np.float64)) for v in (density, reference))
    power, target = (shell_means(np.abs(f) ** 2, shells) for f in (transform, wanted))
    gain = np.sqrt(target / np.maximum(power, np.finfo(float).tiny))
    return scipy.fft.irfftn(transform * gain[shells], s=density.shape).astype(np.float32)
