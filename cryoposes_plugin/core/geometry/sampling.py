"""Distributions of orientations: rotations A of shape (n, 3, 3), reproducible from a NumPy
generator.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from ..conventions import euler_deg_to_rotations, rotations_about_z


def random_rotations(n: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform (Haar) on SO(3)."""
    return Rotation.from_quat(rng.standard_normal((n, 4))).as_matrix()


def euler_uniform(n: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform in rot, tilt and psi, which crowds the poles (Banjac 2021, section 4.4)."""
    return euler_deg_to_rotations(rng.uniform([0, 0, 0], [360, 180, 360], (n, 3)))


def rotations_viewing(directions: np.ndarray, psi_rad: np.ndarray) -> np.ndarray:
    """A whose viewing direction A^T z is given, (n, 3), with in-plane angle psi (n,)."""
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    rot = np.rad2deg(np.arctan2(unit[:, 1], unit[:, 0]))
    tilt = np.rad2deg(np.arccos(np.clip(unit[:, 2], -1, 1)))
    return rotations_about_z(-psi_rad) @ euler_deg_to_rotations(
        np.stack([rot, tilt, np.zeros_like(rot)], axis=1)
    )


def healpix_directions(order: int) -> np.ndarray:
    """Centres of the 12 * 4^order equal-area HEALPix pixels in ring order, (n, 3) (Gorski et al.
    2005, eqs. 2-9).
    """
    nside = 2**order
    ring = np.arange(1, 4 * nside)
    polar = np.minimum(ring, 4 * nside - ring)
    in_cap = polar < nside
    pixels = 4 * np.where(in_cap, polar, nside)
    height = np.where(in_cap, 1 - polar**2 / (3 * nside**2), 4 / 3 - 2 * polar / (3 * nside))
    z = np.where(in_cap, height * np.sign(2 * nside - ring), 4 / 3 - 2 * ring / (3 * nside))
    offset = np.where(in_cap, 0.5, np.where((ring - nside) % 2 == 0, 0.5, 0.0))
    j = np.concatenate([np.arange(n) for n in pixels])
    z, offset, pixels = (np.repeat(v, pixels) for v in (z, offset, pixels))
    phi = 2 * np.pi * (j + offset) / pixels
    radius = np.sqrt(np.clip(1 - z**2, 0, None))
    return np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=1)


def healpix_rotations(n: int, rng: np.random.Generator) -> np.ndarray:
    """n orientations of the coarsest HEALPix x in-plane grid that has n or more, drawn without
    repetition.

    In-plane step equal to the grid's angular spacing, as RELION's sampling does; the grid is turned
    by one random rotation so that no image lies exactly on an axis.
    """
    order = 0
    while 12 * 4**order * in_plane_steps(order) < n:
        order += 1
    everything = healpix_grid(order)
    chosen = np.sort(rng.choice(len(everything), size=n, replace=False))
    rng.shuffle(chosen)
    return everything[chosen] @ random_rotations(1, rng)


def healpix_grid(order: int) -> np.ndarray:
    """All orientations of a HEALPix x in-plane grid: 576 of them 30° apart for order 1, then eight
    times as many.
    """
    directions, steps = healpix_directions(order), in_plane_steps(order)
    psi = np.tile(2 * np.pi * np.arange(steps) / steps, len(directions))
    return rotations_viewing(np.repeat(directions, steps, axis=0), psi)


def half_sphere(number: int) -> np.ndarray:
    """(M, 3) directions of a Fibonacci spiral over the half sphere z > 0, each with its opposite."""
    index = np.arange(number)
    height = (index + 0.5) / number
    longitude = np.pi * (3.0 - np.sqrt(5.0)) * index
    radius = np.sqrt(1.0 - height**2)
    return np.stack([radius * np.cos(longitude), radius * np.sin(longitude), height], axis=1)


def in_plane_steps(order: int) -> int:
    """In-plane angles that go with a HEALPix order: 60°/2^order apart."""
    return 6 * 2**order


def hemisphere(n: int, rng: np.random.Generator, octants: int = 4) -> np.ndarray:
    """Viewing directions uniform on `octants` of the eight octants: 4 the half sphere z > 0, 2 the
    quarter y, z > 0.
    """
    directions = rng.standard_normal((n, 3))
    directions[:, 2] = np.abs(directions[:, 2])
    if octants == 2:
        directions[:, 1] = np.abs(directions[:, 1])
    return rotations_viewing(directions, rng.uniform(0, 2 * np.pi, n))


def preferred(
    n: int, rng: np.random.Generator, directions: np.ndarray, concentration: float
) -> np.ndarray:
    """Viewing directions von Mises-Fisher around (m, 3) directions, drawn equally often; in-plane
    angle uniform.

    In three dimensions the cosine w to the mean has density prop. to exp(kappa w): inverted in
    closed form.

    Parameters
    ----------
    n : number of rotations.
    rng : source of the random numbers.
    directions : (m, 3) mean directions, of any length.
    concentration : kappa > 0; large values mean narrow peaks.
    """
    means = np.asarray(directions, dtype=np.float64)[rng.integers(len(directions), size=n)]
    u = rng.uniform(size=n)
    if concentration < 1e-6:
        w = 2 * u - 1
    else:
        w = 1 + np.log(u + (1 - u) * np.exp(-2 * concentration)) / concentration
    phi = rng.uniform(0, 2 * np.pi, n)
    radius = np.sqrt(np.clip(1 - w**2, 0, None))
    local = np.stack([radius * np.cos(phi), radius * np.sin(phi), w], axis=1)
    to_mean = np.swapaxes(rotations_viewing(means, np.zeros(n)), 1, 2)
    return rotations_viewing(np.einsum("nij,nj->ni", to_mean, local), rng.uniform(0, 2 * np.pi, n))
