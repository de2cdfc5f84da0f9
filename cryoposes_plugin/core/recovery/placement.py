"""Particles one by one against others whose rotations are known: a search over a grid of rotations.

It frees particles that least squares left in a wrong minimum: the distances to a few
others can be met nearly as well at a second rotation.
"""

from __future__ import annotations

import numpy as np

from ..conventions import rotations_to_quaternions
from ..geometry.rotations import quaternion_distance_rad
from ..geometry.sampling import healpix_directions, rotations_viewing
from .pairs import PairDistances

#: 48 directions with 12 in-plane angles, some 30° apart: within the basin of the least squares.
_ORDER, _IN_PLANE = 1, 12
_NEIGHBOURS = 48
#: A residual counts no more than this many standard deviations.
_CAP = 3.0
_SMALLEST_CAP_RAD = 0.5
#: A new place must lower a particle's cost to this part of it: of many noisy ones, some fit a
#: little better anywhere.
_CLEARLY = 0.95
_PARTICLES_AT_ONCE = 64


def place(
    pairs: PairDistances,
    quaternions: np.ndarray,
    particles: np.ndarray,
    trusted: np.ndarray,
    scale_rad: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Quaternions (N, 4) with these particles where their distances to trusted ones fit best on the
    grid.

    A particle stays where it stood if that fits no worse.

    Parameters
    ----------
    particles : (P,) the ones to place, each independently of the others.
    trusted : (N,) bool, whose rotations count; at most some 64 of them are used for each particle.
    scale_rad : standard deviation of the distances.
    pairs : the measured distances.
    quaternions : (N, 4) unit, all of them as they are.
    rng : draws the trusted particles where there are more.
    """
    result = np.array(quaternions)
    grid = quaternion_grid()
    cap = max(_CAP * scale_rad, _SMALLEST_CAP_RAD)
    neighbours, distances, weights = _neighbour_lists(pairs, particles, trusted, rng)

    for start in range(0, len(particles), _PARTICLES_AT_ONCE):
        part = slice(start, start + _PARTICLES_AT_ONCE)
        here, towards, d, weight = particles[part], neighbours[part], distances[part], weights[part]
        others = quaternions[towards]
        cost = _costs(np.broadcast_to(grid, (len(here), *grid.shape)), others, d, weight, cap)
        best = np.argmin(cost, axis=1)
        better = (
            cost.min(axis=1)
            < _CLEARLY * _costs(quaternions[here][:, None], others, d, weight, cap)[:, 0]
        )
        result[here[better]] = grid[best[better]]

    return result


def quaternion_grid() -> np.ndarray:
    """(G, 4) quaternions, evenly spread over SO(3)."""
    directions = healpix_directions(_ORDER)
    psi = 2 * np.pi * np.arange(_IN_PLANE) / _IN_PLANE
    return rotations_to_quaternions(
        rotations_viewing(np.repeat(directions, len(psi), axis=0), np.tile(psi, len(directions)))
    )


def _costs(
    candidates: np.ndarray,
    others: np.ndarray,
    distances: np.ndarray,
    weights: np.ndarray,
    cap: float,
) -> np.ndarray:
    """(P, G) sums of capped residuals of candidates (P, G, 4) against others (P, K, 4); distances,
    weights (P, K).
    """
    angles = quaternion_distance_rad(candidates @ np.swapaxes(others, 1, 2))
    residuals = np.minimum(np.abs(distances[:, None, :] - angles), cap)
    return np.einsum("pgk,pk->pg", residuals, weights)


def _neighbour_lists(
    pairs: PairDistances, particles: np.ndarray, trusted: np.ndarray, rng: np.random.Generator
):
    """For each of (P,) particles up to K trusted neighbours (P, K), their distances, and weights: 0
    where are fewer.
    """
    row = np.full(pairs.number, -1)
    row[particles] = np.arange(len(particles))
    owner, other, entry = [], [], []

    for _, part in pairs.rows():
        first, second = pairs.first(part), pairs.second[part]
        for a, b in ((first, second), (second, first)):
            inside = (row[a] >= 0) & trusted[b]
            owner.append(row[a[inside]])
            other.append(b[inside])
            entry.append(part.start + np.flatnonzero(inside))

    owner, other, entry = (np.concatenate(lists) for lists in (owner, other, entry))
    order = rng.permutation(len(owner))
    order = order[np.argsort(owner[order], kind="stable")]
    owner, other, entry = owner[order], other[order], entry[order]
    rank = np.arange(len(owner)) - np.searchsorted(owner, owner)
    kept = rank < _NEIGHBOURS
    at = owner[kept], rank[kept]
    neighbours = np.zeros((len(particles), _NEIGHBOURS), dtype=np.int64)
    distances, weights = np.zeros(neighbours.shape), np.zeros(neighbours.shape)
    neighbours[at], distances[at] = other[kept], pairs.distance_rad[entry[kept]]
    weights[at] = pairs.weights_of(entry[kept])
    return neighbours, distances, weights
