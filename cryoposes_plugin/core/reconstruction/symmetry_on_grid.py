"""Point groups on a Cartesian grid: operations that map it onto itself need no interpolation."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np


def split_group(group: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """A group (G, 3, 3) -> its subgroup H of signed permutations (h, 3, 3), and one c of each coset c H (G / h, 3, 3).

    Every element of the group is c h for exactly one pair, so a sum over the group is a sum over c of slices at A c,
    followed by one over H on the grid. C1, C2, C4, D2, D4 and O are all H; C3 is three cosets, I is five of order 12.
    """
    rounded = np.round(group)
    on_grid = rounded[np.abs(group - rounded).max(axis=(1, 2)) < 1e-6]
    cosets: List[np.ndarray] = []
    for g in group:
        equal = [np.abs(c @ on_grid - g).max(axis=(1, 2)).min() < 1e-6 for c in cosets]
        if not any(equal):
            cosets.append(g)
    return on_grid, np.array(cosets)


def symmetrised(sums: np.ndarray, on_grid: np.ndarray) -> np.ndarray:
    """Sum of f(h k) over H for f on the half space x >= 0 of a Hermitian grid.

    Parameters
    ----------
    sums : (3, 2R+1, 2R+1, R+1) [z, y, x], y and z from -R: real part, imaginary part, weight.
    on_grid : (h, 3, 3) signed permutations acting on (x, y, z), the identity among them.
    """
    if len(on_grid) == 1:
        return sums
    radius = sums.shape[3] - 1
    out = np.zeros_like(sums)
    y, x = np.meshgrid(np.arange(-radius, radius + 1), np.arange(radius + 1), indexing="ij")
    for plane in range(sums.shape[1]):
        nodes = np.stack([x, y, np.full_like(x, plane - radius)], axis=-1)
        for h in on_grid.astype(int):
            turned = nodes @ h.T
            mate = turned[..., 0] < 0
            turned[mate] *= -1
            values = sums[:, turned[..., 2] + radius, turned[..., 1] + radius, turned[..., 0]]
            values[1] *= np.where(mate, -1, 1)
            out[:, plane] += values
    return out
