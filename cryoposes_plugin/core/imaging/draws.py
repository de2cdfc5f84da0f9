"""What is drawn for every image: volume, pose, CTF. Functions of a config and a seed, also for training on the fly."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple, Union

import numpy as np

from ...commands.imaging_config import ImagingConfig
from ..conventions import euler_deg_to_rotations, viewing_directions
from ..errors import InputError
from ..geometry.sampling import (
    euler_uniform,
    healpix_rotations,
    hemisphere,
    preferred,
    random_rotations,
)
from ..types import CtfTable, ParticleTable

Seed = Union[int, Sequence[int]]

# One stream of random numbers each, so that changing one distribution leaves the others' draws as they were.
_ROTATIONS, _SHIFTS, _CTFS, _VOLUMES, _LIKE, _SAMPLE = range(1, 7)


def _generator(seed: Seed, stream: int) -> np.random.Generator:
    return np.random.default_rng([stream, *np.atleast_1d(seed).tolist()])


def draw_poses(config: ImagingConfig, n: int, seed: Seed) -> Tuple[np.ndarray, np.ndarray]:
    """Rotations A (n, 3, 3) and shifts t (n, 2) in pixels of the images, float64.

    `seed` is a number or several, (seed, step). A config without `orientations` draws uniformly on SO(3);
    'particles' is not drawn but read: see `poses_of_particles`.
    """
    rng = _generator(seed, _ROTATIONS)
    kind = getattr(config, "orientations", "uniform")
    if kind == "healpix":
        rotations = healpix_rotations(n, rng)
    elif kind == "euler":
        rotations = euler_uniform(n, rng)
    elif kind in ("half-sphere", "quarter-sphere"):
        rotations = hemisphere(n, rng, octants=4 if kind == "half-sphere" else 2)
    elif kind == "preferred":
        rotations = preferred(n, rng, preferred_directions(config), config.preferred_concentration)  # type: ignore[attr-defined]
    elif kind == "uniform":
        rotations = random_rotations(n, rng)
    else:
        raise ValueError(f"expected a distribution of orientations, received {kind!r}")
    return rotations, draw_shifts(config, n, seed)


def preferred_directions(config) -> np.ndarray:
    """(m, 3) unit vectors of the (rot, tilt) pairs of a config."""
    pairs = np.reshape(config.preferred_directions_deg, (-1, 2))
    return viewing_directions(euler_deg_to_rotations(np.pad(pairs, ((0, 0), (0, 1)))))


def draw_shifts(config: ImagingConfig, n: int, seed: Seed) -> np.ndarray:
    """(n, 2) displacements (x, y) in pixels."""
    rng = _generator(seed, _SHIFTS)
    size = config.shift_px
    if config.shift_distribution == "none" or size == 0:
        return np.zeros((n, 2))
    if config.shift_distribution == "gaussian":
        return rng.normal(0, size, (n, 2))
    if config.shift_distribution == "triangular":
        return rng.triangular(-size, 0, size, (n, 2))
    return rng.uniform(-size, size, (n, 2))


def draw_ctfs(
    config: ImagingConfig, n: int, seed: Seed, like: Optional[ParticleTable] = None
) -> Optional[CtfTable]:
    """CTFs of n images: those of `like` where it is given (each equally often), else drawn; None for --no-ctf."""
    if not config.ctf:
        return None
    if like is not None:
        if like.ctf is None:
            raise InputError(
                "The particles of --like have no CTF; estimate it first, or simulate with --no-ctf."
            )
        return like.ctf.take(like_rows(len(like), n, seed))
    rng = _generator(seed, _CTFS)
    mean = rng.uniform(*config.defocus_range_angstrom, n)
    half = 0.5 * rng.uniform(0, config.astigmatism_angstrom, n)
    angle = rng.uniform(0, 180, n) if config.astigmatism_angstrom else np.zeros(n)
    acquisition = (
        config.voltage_kv,
        config.spherical_aberration_mm,
        config.amplitude_contrast,
        config.bfactor_angstrom2,
    )
    constants = [
        np.full(n, value, dtype=np.float64) for value in (config.phase_shift_deg, *acquisition)
    ]
    return CtfTable(mean + half, mean - half, angle, *constants)


def like_rows(available: int, n: int, seed: Seed) -> np.ndarray:
    """(n,) rows of a set of `available` particles, shuffled, each used n / available times."""
    rng = _generator(seed, _LIKE)
    return np.concatenate([rng.permutation(available) for _ in range(-(-n // available))])[:n]


def draw_volumes(number_of_volumes: int, n: int, seed: Seed) -> np.ndarray:
    """(n,) int32 index of the volume of each image: equal parts, shuffled."""
    return _generator(seed, _VOLUMES).permutation(np.arange(n, dtype=np.int32) % number_of_volumes)


def draw_sample(n: int, size: int, seed: Seed) -> np.ndarray:
    """Sorted rows of at most `size` of n images, without repetition."""
    return (
        np.arange(n)
        if n <= size
        else np.sort(_generator(seed, _SAMPLE).choice(n, size, replace=False))
    )


def poses_of_particles(
    table: ParticleTable, n: int, pixel_size_angstrom: float
) -> Tuple[np.ndarray, np.ndarray]:
    """Poses of a particle set, in its order and over again until there are n; shifts in pixels of the new images."""
    if table.rotations is None or table.shifts_px is None:
        raise InputError(
            "The particles of --orientations-from have no poses; give a set with rlnAngleRot, rlnAngleTilt, "
            "rlnAnglePsi and origins."
        )
    rows = np.arange(n) % len(table)
    scale = table.pixel_size_angstrom / pixel_size_angstrom
    return table.rotations[rows], (table.shifts_px * scale[:, None])[rows]
