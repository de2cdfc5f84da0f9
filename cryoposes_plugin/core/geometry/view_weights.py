"""Weights that even out the viewing directions of a set."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from ..conventions import viewing_directions
from .sampling import healpix_directions

#: Cells of 29 degrees; no particle counts more or less than this often.
_HEALPIX_ORDER, _LIMIT = 1, 4.0


def view_weights(rotations: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(N,) weights with mean 1, inverse to the number of particles that show the same view, within a
    factor of four of their mean.

    Opposite and symmetry-equivalent directions are one view, as an image and its mirror image show
    them. rotations : (N, 3, 3). group : (G, 3, 3) symmetry rotations.
    """
    tree = KDTree(healpix_directions(_HEALPIX_ORDER))
    directions = viewing_directions(rotations)
    number = np.zeros(tree.n)
    for operation in group:
        for sign in (1.0, -1.0):
            cells = tree.query(sign * directions @ operation)[1]
            number += np.bincount(cells, minlength=tree.n)
    # The identity is an operation of the group, so that no particle is in an empty cell.
    mean = number.mean()
    weights = np.clip(mean / number[tree.query(directions)[1]], 1.0 / _LIMIT, _LIMIT)
    return weights / weights.mean()
