"""Point groups on a Cartesian grid: operations that map it onto itself need no interpolation."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np


def split_group(group: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """A group (G, 3, 3) -> its subgroup H of signed permutations (h, 3, 3), and one c of each coset
    c H (G / h, 3, 3).

    Every element of the group is c h for exactly one pair, so a sum over the group is a sum over c
    of slices at A c, followed by one over H on the grid. C1, C2, C4, D2, D4 and O are all H; C3 is
    three cosets, I is five of order 12.
    """
    rounded = np.round(group)
    on_grid = rounded[np.abs(group - rounded).max(axis=(1, 2)) < 1e-6]
    cosets: List[np.ndarray] = []
    for g in group:
        equal = [np.abs(c @ on_grid - g).max(axis=(1, 2)).min() < 1e-6 for c in cosets]
        if not any(equal):
            cosets.append(g)
    return on_grid, np.array(cosets)
