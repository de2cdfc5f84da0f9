"""Point groups on a Cartesian grid: operations that map it onto itself need no interpolation."""

from __future__ import annotations

from typing import Dict, List, Tuple

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


def symmetrised(sums: np.ndarray, on_grid: np.ndarray) -> np.ndarray:
    """Sum of f(h k) over H for f on the half space x >= 0 of a Hermitian grid.

    Parameters
    ----------
    sums : (3, 2R+1, 2R+1, R+1) [z, y, x], y and z from -R: real part, imaginary part, weight.
    on_grid : (h, 3, 3) signed permutations acting on (x, y, z), the identity among them.
    """
    for representatives in coset_chain(on_grid):
        total = sums.copy()
        for h in representatives:
            _add_turned(total, sums, h)
        sums = total
    return sums


def coset_chain(group: np.ndarray) -> List[List[np.ndarray]]:
    """Right coset representatives, without the identity, of each step in a chain of subgroups from
    1 to the group.

    Sums over the representatives of one step after the other give the sum over the group, with 5
    turns for the 24 operations of O.
    """
    elements = {h.tobytes(): h for h in np.rint(group).astype(int)}
    subgroup = {np.eye(3, dtype=int).tobytes(): np.eye(3, dtype=int)}
    chain = []
    while len(subgroup) < len(elements):
        larger = min(
            (_closure(subgroup, h) for key, h in elements.items() if key not in subgroup), key=len
        )
        covered, representatives = set(subgroup), []
        for key, h in larger.items():
            if key not in covered:
                representatives.append(h)
                covered.update((s @ h).tobytes() for s in subgroup.values())
        chain.append(representatives)
        subgroup = larger
    return chain


def _closure(subgroup: Dict[bytes, np.ndarray], generator: np.ndarray) -> Dict[bytes, np.ndarray]:
    found = dict(subgroup)
    frontier = [generator]
    while frontier:
        new = {h.tobytes(): h for h in frontier if h.tobytes() not in found}
        found.update(new)
        frontier = [a @ b for a in new.values() for b in (generator, *subgroup.values())]
    return found


def _add_turned(total: np.ndarray, sums: np.ndarray, h: np.ndarray) -> None:
    """total(k) += f(h k), plane by plane."""
    radius = sums.shape[3] - 1
    y, x = np.meshgrid(np.arange(-radius, radius + 1), np.arange(radius + 1), indexing="ij")
    for plane in range(sums.shape[1]):
        tx, ty, tz = (row[0] * x + row[1] * y + row[2] * (plane - radius) for row in h)
        sign = np.where(tx < 0, -1, 1)
        values = sums[:, sign * tz + radius, sign * ty + radius, sign * tx]
        values[1] *= sign
        total[:, plane] += values
