"""Which particles of a set to keep: at a false discovery rate, while the reconstruction gains, and
with the same share of every view.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..conventions import viewing_directions

#: A particle above this probability of junk is never kept.
MORE_LIKELY_THAN_NOT = 0.5
#: A gain of the reconstruction below this share is no reason to reject a particle.
SMALLEST_GAIN = 0.01
#: Radius of the particle in widths of the box, for the displacement by a rotation.
_RADIUS_IN_BOXES = 0.3
#: Particles of a cell of views.
CELL_PARTICLES = 8
#: No symmetry axis and no plane of a usual setting contains it.
_GENERIC = np.array([0.3127, 0.5641, 0.7641])


def accept_share(scores: np.ndarray, share: float) -> np.ndarray:
    """(N,) bool: the round(share * N) particles with the lowest scores.

    Particles with equal scores are kept or rejected together. Those at the limit are kept if that
    is closer to the share, or if no score is lower.
    """
    scores = np.asarray(scores)
    number = int(np.floor(share * len(scores) + 0.5))
    if number == 0:
        return np.zeros(len(scores), dtype=bool)
    cut = np.sort(scores)[number - 1]
    below, with_equal = (scores < cut).sum(), (scores <= cut).sum()
    return scores < cut if 0 < below and number - below < with_equal - number else scores <= cut


def accept_at_rate(probabilities: np.ndarray, rate: float) -> np.ndarray:
    """(N,) bool: the largest set of the lowest probabilities of junk whose mean is at most `rate`.

    The mean is the expected share of junk among the kept, their false discovery rate. No particle
    above 1/2 is kept; equal probabilities stay together.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    order = np.sort(probabilities)
    means = np.cumsum(order) / np.arange(1, len(order) + 1)
    ends = _ends_of_ties(order) & (means <= rate * (1 + 1e-12)) & (order <= MORE_LIKELY_THAN_NOT)
    if not ends.any():
        return np.zeros(len(probabilities), dtype=bool)
    return probabilities <= order[np.flatnonzero(ends)[-1]]


class Gaining(NamedTuple):
    """Which particles a reconstruction gains from.

    accepted : (N,) bool. gain : share by which the SSNR without the others exceeds that of all.
    """

    accepted: np.ndarray
    gain: float


def accept_gaining(weights: np.ndarray) -> Gaining:
    """The particles that an unweighted average gains from.

    If errors leave the share w_i of the signal of particle i, the average of n particles has an
    SSNR proportional to (sum of w)^2 / n. One more helps if its w exceeds about half the mean of
    those that are kept, so the best set is that of the n largest. All are kept if it gains less
    than `SMALLEST_GAIN`; equal weights stay together.
    """
    weights = np.asarray(weights, dtype=np.float64)
    order = np.sort(weights)[::-1]
    signal = np.cumsum(order) ** 2 / np.arange(1, len(order) + 1)
    best = int(np.argmax(np.where(_ends_of_ties(order), signal, -1.0)))
    gain = float(signal[best] / signal[-1] - 1) if signal[-1] > 0 else 0.0
    if gain < SMALLEST_GAIN:
        return Gaining(np.ones(len(weights), dtype=bool), 0.0)
    return Gaining(weights >= order[best], gain)


def displacement_angstrom(
    error_deg: np.ndarray, shift_error_angstrom: np.ndarray, box_width_angstrom: np.ndarray
) -> np.ndarray:
    """(N,) root mean square displacement, along one direction, of the density by errors of poses.

    A rotation by the RMS angle e has the variance e^2 / 3 about each axis. Over a ball of radius R
    it displaces by the variance 2 R^2 e^2 / 15 along a direction; a shift error of RMS length s in
    the plane by s^2 / 2. R is taken as 0.3 widths of the box.
    """
    radius = _RADIUS_IN_BOXES * np.asarray(box_width_angstrom)
    turned = 2 * (np.deg2rad(error_deg) * radius) ** 2 / 15
    return np.sqrt(turned + np.asarray(shift_error_angstrom) ** 2 / 2)


def remaining_signal(displacements_angstrom: np.ndarray, resolution_angstrom: float) -> np.ndarray:
    """(N,) share exp(-2 pi^2 k^2 sigma^2) of the signal that is left at k = 1 / resolution."""
    return np.exp(-2 * (np.pi * np.asarray(displacements_angstrom) / resolution_angstrom) ** 2)


def typical_resolution_angstrom(
    displacements_angstrom: np.ndarray, pixel_size_angstrom: float
) -> float:
    """Resolution at which the median displacement leaves exp(-1/2) = 0.61 of the signal, 2 pi
    sigma; at least two pixels.
    """
    typical = 2 * np.pi * float(np.median(displacements_angstrom))
    return max(typical, 2 * pixel_size_angstrom)


def view_cells(
    rotations: np.ndarray, group: np.ndarray, smallest: int = CELL_PARTICLES
) -> np.ndarray:
    """(N,) int: the cell of viewing directions of each particle, from 0.

    Opposite and symmetry-equivalent directions are one, as they give the same slice. The directions
    are halved at the median of their widest coordinate until a half would hold fewer than
    `smallest`, so that cells are small where views are frequent. Successive cells are neighbours.
    """
    directions = _in_one_unit(viewing_directions(rotations), group)
    cells = np.zeros(len(directions), dtype=np.intp)
    waiting, number = [np.arange(len(directions))], 0
    while waiting:
        rows = waiting.pop()
        if len(rows) >= 2 * smallest:
            part = directions[rows]
            along = part[:, np.argmax(part.var(axis=0))]
            order = np.argsort(along, kind="stable")
            waiting += [rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]]
        else:
            cells[rows] = number
            number += 1
    return cells


def accept_share_of_cells(scores: np.ndarray, cells: np.ndarray, share: float) -> np.ndarray:
    """(N,) bool: the particles with the lowest scores of each cell (N,), `share` of every cell.

    The numbers are rounded so that neighbouring cells together keep the share. Of equal scores the
    first are kept.
    """
    cells = np.asarray(cells)
    order = np.lexsort((np.asarray(scores), cells))
    sizes = np.bincount(cells)
    ends = np.cumsum(sizes)
    kept = np.diff(np.floor(share * ends + 0.5), prepend=0)
    rank = np.arange(len(cells)) - np.repeat(ends - sizes, sizes)
    accepted = np.zeros(len(cells), dtype=bool)
    accepted[order] = rank < np.repeat(kept, sizes)
    return accepted


def _in_one_unit(directions: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(N, 3) the equivalents, opposites included, that lie nearest to a generic direction."""
    best, nearest = directions, np.full(len(directions), -np.inf)
    for operation in group:
        turned = directions @ operation
        along = turned @ _GENERIC
        closer = np.abs(along) > nearest
        best = np.where(closer[:, None], turned * np.sign(along)[:, None], best)
        nearest = np.maximum(nearest, np.abs(along))
    return best


def _ends_of_ties(ordered: np.ndarray) -> np.ndarray:
    """(N,) bool: the last of each run of equal values."""
    return np.append(ordered[1:] != ordered[:-1], True)
