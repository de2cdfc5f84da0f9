"""Other particles around the one that was picked."""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np

from ...geometry.sampling import random_rotations
from ..draws import NEIGHBOURS, stream


def draw_neighbours(
    mean_number: float, nearest_px: float, box_size_px: int, seed: int, row: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Displacements (m, 2) of the neighbours of an image in px, and their rotations (m, 3, 3).

    A Poisson process in the plane, without those that a picker would not have kept: particles
    nearer than its minimum distance to the picked one, or to another neighbour. It goes on beyond
    the box as far as particles reach into it.

    Parameters
    ----------
    mean_number : of particles on an area as large as the box.
    nearest_px : minimum distance of the picker.
    box_size_px : of the images.
    seed, row : of the simulation; number of the image.
    """
    rng = stream((seed, row), NEIGHBOURS)
    furthest = box_size_px / math.sqrt(2) + nearest_px / 2
    area = math.pi * (furthest**2 - nearest_px**2)
    number = rng.poisson(mean_number * area / box_size_px**2)
    radius = np.sqrt(rng.uniform(nearest_px**2, furthest**2, number))
    angle = rng.uniform(0, 2 * np.pi, number)

    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    kept: list = []
    for i, point in enumerate(points):
        if all(np.hypot(*(point - points[j])) >= nearest_px for j in kept):
            kept.append(i)
    return points[kept], random_rotations(number, rng)[kept] if number else np.zeros((0, 3, 3))
