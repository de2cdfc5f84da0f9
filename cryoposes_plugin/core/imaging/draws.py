"""Random volumes, poses and CTFs of simulated images, as functions of their distributions and a
seed.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..conventions import euler_deg_to_rotations, viewing_directions
from ..errors import InputError
from ..geometry.sampling import (
    euler_uniform,
    healpix_rotations,
    hemisphere,
    preferred,
    random_rotations,
)
from ..image_kinds import PARTICLE
from ..types import CtfTable, ParticleTable
from .settings import CtfDistribution, PoseDistribution

Seed = Union[int, Sequence[int]]

# One stream of random numbers for each, so that a change of one distribution does not affect the
# draws from the others.
_ROTATIONS, _SHIFTS, _CTFS, _VOLUMES, _LIKE, _SAMPLE, _KINDS, _JUNK = range(1, 9)
MOTION, DUPLICATES, ICE, GRADIENT, NEIGHBOURS, PICKS, VIEWS = range(9, 16)
SCALES, BFACTORS, DEFOCUS_ERRORS = range(16, 19)


class BatchShare(NamedTuple):
    """What one of several makes of a batch of `number` images: every `step`-th, from `first` on.

    All shares together are the batch that one alone would make: what is random is drawn for the
    whole batch.
    """

    number: int
    first: int = 0
    step: int = 1

    def of(self, rows: Any) -> Any:
        """Its rows of an array or a tensor with a row for each image of the batch."""
        return rows if self.step == 1 else rows[self.first :: self.step]

    def drawn(self, draw: Callable[[int], Any]) -> Any:
        """Its rows of what is drawn for a number of images."""
        return self.of(draw(self.number))

    def within(self, begin: int, number: int) -> BatchShare:
        """Its images of a part of the batch that begins at `begin`."""
        return BatchShare(number, (self.first - begin) % self.step, self.step)


def stream(seed: Seed, number: int) -> np.random.Generator:
    """Random numbers for one kind of draw, by the numbers above."""
    return np.random.default_rng([number, *np.atleast_1d(seed).tolist()])


def draw_poses(distribution: PoseDistribution, n: int, seed: Seed) -> Tuple[np.ndarray, np.ndarray]:
    """Rotations A (n, 3, 3) and shifts t (n, 2) in pixels of the images, float64.

    `seed` is a number or several, such as (seed, step).
    """
    return draw_rotations(distribution, n, seed), draw_shifts(distribution, n, seed)


def draw_rotations(distribution: PoseDistribution, n: int, seed: Seed) -> np.ndarray:
    """(n, 3, 3) rotations A, float64."""
    rng = stream(seed, _ROTATIONS)
    kind = distribution.orientations
    if kind == "healpix":
        return healpix_rotations(n, rng)
    if kind == "euler":
        return euler_uniform(n, rng)
    if kind in ("half-sphere", "quarter-sphere"):
        return hemisphere(n, rng, octants=4 if kind == "half-sphere" else 2)
    if kind == "preferred":
        directions = preferred_directions(distribution)
        return preferred(n, rng, directions, distribution.preferred_concentration)
    if kind == "uniform":
        return random_rotations(n, rng)
    raise ValueError(f"expected a distribution of orientations, received {kind!r}")


def preferred_directions(distribution: PoseDistribution) -> np.ndarray:
    """(m, 3) unit vectors of the preferred views."""
    pairs = np.reshape(distribution.preferred_directions_deg, (-1, 2))
    return viewing_directions(euler_deg_to_rotations(np.pad(pairs, ((0, 0), (0, 1)))))


def draw_shifts(distribution: PoseDistribution, n: int, seed: Seed) -> np.ndarray:
    """(n, 2) displacements (x, y) in pixels of the images, float64."""
    rng = stream(seed, _SHIFTS)
    size = distribution.shift_px
    if distribution.shifts == "none" or size == 0:
        return np.zeros((n, 2))
    if distribution.shifts == "gaussian":
        return rng.normal(0, size, (n, 2))
    if distribution.shifts == "triangular":
        return rng.triangular(-size, 0, size, (n, 2))
    return rng.uniform(-size, size, (n, 2))


def draw_ctfs(
    distribution: Optional[CtfDistribution],
    n: int,
    seed: Seed,
    like: Optional[ParticleTable] = None,
) -> Optional[CtfTable]:
    """CTFs of n images.

    Parameters
    ----------
    distribution : what they are drawn from; None for images without a CTF.
    n : number of images.
    seed : a number or several, such as (seed, step).
    like : particles whose CTFs are used instead, each equally often.

    Returns
    -------
    A table of n CTFs, or None without a distribution.

    Raises
    ------
    InputError
        If the particles of `like` have no CTF.
    """
    if distribution is None:
        return None
    if like is not None:
        if like.ctf is None:
            raise InputError(
                "The particles of --like have no CTF; estimate it first, or simulate with --no-ctf."
            )
        return like.ctf.take(like_rows(len(like), n, seed))

    rng = stream(seed, _CTFS)
    mean = rng.uniform(*distribution.defocus_range_angstrom, n)
    half = 0.5 * rng.uniform(0, distribution.astigmatism_angstrom, n)
    angle = rng.uniform(0, 180, n) if distribution.astigmatism_angstrom else np.zeros(n)

    constants = (
        distribution.phase_shift_deg,
        distribution.voltage_kv,
        distribution.spherical_aberration_mm,
        distribution.amplitude_contrast,
        distribution.bfactor_angstrom2,
    )
    columns = [np.full(n, value, dtype=np.float64) for value in constants]
    return CtfTable(mean + half, mean - half, angle, *columns)


def like_rows(available: int, n: int, seed: Seed) -> np.ndarray:
    """(n,) rows of a set of `available` particles, shuffled, each used n / available times."""
    rng = stream(seed, _LIKE)
    return np.concatenate([rng.permutation(available) for _ in range(-(-n // available))])[:n]


def draw_volumes(
    number_of_volumes: int, n: int, seed: Seed, weights: Sequence[float] = ()
) -> np.ndarray:
    """(n,) int32 index of the volume of each image, shuffled.

    Parameters
    ----------
    number_of_volumes : of volumes.
    n : number of images.
    seed : of the order.
    weights : of the volumes, of any sum, to which their numbers of images are proportional up to
        one; () for equal parts.
    """
    if not weights:
        shown = np.arange(n, dtype=np.int32) % number_of_volumes
    else:
        ends = np.rint(n * np.cumsum(weights) / np.sum(weights)).astype(np.int64)
        shown = np.searchsorted(ends, np.arange(n), side="right").astype(np.int32)
    return stream(seed, _VOLUMES).permutation(shown)


def draw_kinds(junk: Sequence[str], fraction: float, n: int, seed: Seed) -> np.ndarray:
    """(n,) what each image shows: PARTICLE, or one of the kinds of junk, in equal parts.

    Parameters
    ----------
    junk : the kinds.
    fraction : of junk; at least one image shows a particle.
    n : number of images.
    seed : of their order.
    """
    number = min(round(fraction * n), n - 1)
    kinds = np.full(n, PARTICLE, dtype=object)
    kinds[:number] = np.resize(np.array(junk, dtype=object), number)
    return stream(seed, _KINDS).permutation(kinds) if number else kinds


def junk_generator(seed: Seed) -> np.random.Generator:
    """Random numbers for what junk shows; for one image, `seed` is (seed, number of the image)."""
    return stream(seed, _JUNK)


def draw_sample(n: int, size: int, seed: Seed) -> np.ndarray:
    """Sorted rows of at most `size` of n images, without repetition."""
    return (
        np.arange(n) if n <= size else np.sort(stream(seed, _SAMPLE).choice(n, size, replace=False))
    )


def poses_of_particles(
    table: ParticleTable, n: int, pixel_size_angstrom: float
) -> Tuple[np.ndarray, np.ndarray]:
    """Poses of a particle set in its order, repeated until there are n; shifts in pixels of the new
    images.
    """
    if table.rotations is None or table.shifts_px is None:
        raise InputError(
            "The particles of --orientations-from have no poses; give a set with rlnAngleRot, "
            "rlnAngleTilt, rlnAnglePsi and origins."
        )
    rows = np.arange(n) % len(table)
    scale = table.pixel_size_angstrom / pixel_size_angstrom
    return table.rotations[rows], (table.shifts_px * scale[:, None])[rows]
