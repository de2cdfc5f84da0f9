"""A grid search for the rotations of single particles against others whose rotations are known.

It corrects particles that least squares left in a wrong minimum, because the distances to a few
others fit nearly as well at a second rotation.
"""

from __future__ import annotations

import numpy as np

from ..conventions import rotations_to_quaternions
from ..geometry.rotations import quaternion_distance_rad
from ..geometry.sampling import healpix_directions, rotations_viewing
from .pairs import PairDistances

#: 48 directions with 12 in-plane angles, about 30° apart, which is within the basin of least
#: squares.
_ORDER, _IN_PLANE = 1, 12
_NEIGHBOURS = 48
#: Residuals are capped at this many standard deviations.
_CAP = 3.0
_SMALLEST_CAP_RAD = 0.5
#: A new rotation must lower the cost of a particle to this share of it, because with noise many
#: rotations fit slightly better.
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
    """Quaternions (N, 4), with these particles at the grid rotations that fit their distances to
    trusted ones best.

    A particle keeps its rotation if no grid rotation fits clearly better.

    Parameters
    ----------
    particles : (P,) the ones to place, each independently of the others.
    trusted : (N,) bool, particles whose rotations are used; at most 48 of them for each particle.
    scale_rad : standard deviation of the distances.
    pairs : the measured distances.
    quaternions : (N, 4) unit, the current rotations of all particles.
    rng : draws the trusted particles if there are more of them.
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
    """Up to K trusted neighbours (P, K) for each of (P,) particles, their distances, and weights,
    which are 0 if there are fewer neighbours.
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
