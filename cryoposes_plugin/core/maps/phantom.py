"""A synthetic molecule: an asymmetric, protein-like density for demonstrations and tests, made from
a seed.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from ..errors import ConfigError
from ..fourier.masks import squared_radius
from ..types import Volume

#: Diameter of the molecule as a share of the box, as for a particle in a well-chosen box.
BOX_SHARE = 0.75
#: Relative volumes of the domains. All differ, so that every view has a different outline.
DOMAIN_VOLUMES = (1.0, 0.62, 0.42, 0.30, 0.20, 0.13, 0.08)
#: Number of beads in the chain, and the reach of a bead in voxels of the grid on which it is drawn.
CHAIN_BEADS = 2400
BEAD_SIGMA_PX = 0.8
_BEAD_REACH_SIGMAS = 5.0
#: The chain's share of the sphere's radius; the rest is room for the outermost bead.
_CHAIN_SHARE = 0.92


def make_phantom(box_size_px: int = 64, pixel_size_angstrom: float = 5.0, seed: int = 0) -> Volume:
    """The density of one chain of beads folded into seven compact domains of different size.

    Bead coordinates are fractions of the field of view, so a seed gives the same molecule at any
    sampling. It is chiral and has no symmetry; its amplitude spectrum falls like a protein's,
    through the shape of the domains at low frequency and the packing of the beads at high
    frequency.

    Parameters
    ----------
    box_size_px : edge D of the cubic grid, at least 16.
    pixel_size_angstrom : voxel size.
    seed : the same seed gives the same molecule, bit for bit.

    Returns
    -------
    Volume, (D, D, D) float32 indexed [z, y, x]: not negative, standard deviation 1 over the box,
    centre of mass on voxel D // 2, zero outside the sphere of 75 % of the box.

    Raises
    ------
    ConfigError : if the box is smaller than 16 or the pixel size is not positive.
    """
    if box_size_px < 16:
        raise ConfigError(
            f"The phantom's box is {box_size_px} px; it must be at least 16 px to hold its domains."
        )
    if not pixel_size_angstrom > 0:
        raise ConfigError(
            f"The phantom's pixel size is {pixel_size_angstrom} Å; it must be greater than 0."
        )
    beads = phantom_beads_px(box_size_px, np.random.default_rng(seed))
    density = gaussian_density(beads, BEAD_SIGMA_PX, box_size_px)
    within_plane, radius2 = squared_radius(box_size_px, 2), (BOX_SHARE / 2 * box_size_px) ** 2
    for z, plane in enumerate(density):
        plane[within_plane + (z - box_size_px // 2) ** 2 > radius2] = 0
    density /= density.std()
    return Volume(density.astype(np.float32), float(pixel_size_angstrom))


def phantom_beads_px(box_size_px: int, rng: np.random.Generator) -> np.ndarray:
    """(CHAIN_BEADS, 3) places of the beads of a phantom (x, y, z) in pixels, 0 at voxel D // 2."""
    chain = _centred_in_unit_ball(fold_chain(rng, CHAIN_BEADS))
    return chain * (_CHAIN_SHARE * BOX_SHARE / 2 * box_size_px)


def fold_chain(rng: np.random.Generator, beads: int) -> np.ndarray:
    """(beads, 3) float64 (x, y, z): a random walk with excluded volume through touching domains.

    The unit is the radius of the largest domain.
    """
    volumes = np.array(DOMAIN_VOLUMES)
    counts = np.maximum(1, np.round(beads * volumes / volumes.sum()).astype(int))
    counts[0] += beads - counts.sum()
    radii = np.cbrt(volumes)
    # A bead's share of the volume fixes the length of a bond, whatever the number of beads.
    bond = np.cbrt(4 / 3 * np.pi * volumes.sum() / beads)
    centres = _place_domains(rng, radii)
    chain = np.empty((beads, 3))
    end = 0
    for centre, radius, count in zip(centres, radii, counts):
        to_domain = _random_ellipsoid(rng, radius)
        for _ in range(count):
            chain[end] = _next_bead(rng, chain[:end], centre, to_domain, bond)
            end += 1
    return chain


def _place_domains(rng: np.random.Generator, radii: np.ndarray) -> np.ndarray:
    """(domains, 3) centres: each domain touches an earlier one and overlaps none."""
    centres = np.zeros((1, 3))
    for index in range(1, len(radii)):
        partners = rng.integers(0, index, size=64)
        offsets = _unit_vectors(rng, 64) * (0.95 * (radii[partners] + radii[index]))[:, None]
        candidates = centres[partners] + offsets
        gaps = np.linalg.norm(candidates[:, None] - centres, axis=-1) - 0.95 * (
            radii[:index] + radii[index]
        )
        centres = np.vstack([centres, candidates[np.argmax(gaps.min(axis=1) >= -1e-9)]])
    return centres


def _random_ellipsoid(rng: np.random.Generator, radius: float) -> np.ndarray:
    """(3, 3) matrix that maps a randomly turned ellipsoid of this mean radius to the unit ball."""
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    stretch = np.exp(rng.uniform(-0.25, 0.25, size=3))
    stretch /= np.cbrt(stretch.prod())
    return (axes / (radius * stretch)).T


def _next_bead(
    rng: np.random.Generator,
    chain: np.ndarray,
    centre: np.ndarray,
    to_domain: np.ndarray,
    bond: float,
) -> np.ndarray:
    """The next bead, one bond from the end of the chain: of 24 trials, the one that clashes least
    and stays in its domain.
    """
    if len(chain) == 0:
        return centre
    tries = chain[-1] + bond * _unit_vectors(rng, 24)
    outside = np.maximum(np.linalg.norm((tries - centre) @ to_domain.T, axis=1) - 1, 0)
    nearest = cdist(tries, chain[-400:]).min(axis=1)
    clash = np.maximum(1 - nearest / (0.9 * bond), 0)
    return tries[np.argmin(10 * outside + clash)]


def _unit_vectors(rng: np.random.Generator, number: int) -> np.ndarray:
    vectors = rng.standard_normal((number, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _centred_in_unit_ball(points: np.ndarray) -> np.ndarray:
    points = points - points.mean(axis=0)
    return points / np.linalg.norm(points, axis=1).max()


def gaussian_density(points_px: np.ndarray, sigma_px: float, box_size_px: int) -> np.ndarray:
    """(D, D, D) float64 [z, y, x]: the sum of unit Gaussians at `points_px` (N, 3) (x, y, z), 0 at
    voxel D // 2.
    """
    x, y, z = (_profiles(points_px[:, k], sigma_px, box_size_px) for k in range(3))
    density = np.empty((box_size_px,) * 3)
    for plane, along_z in zip(density, z.T):
        near = along_z > 0
        np.matmul((along_z[near, None] * y[near]).T, x[near], out=plane)
    return density


def gaussian_projections(
    points_px: np.ndarray, sigma_px: float, rotations: np.ndarray, box_size_px: int
) -> np.ndarray:
    """(B, D, D) float32 projections of the same density, without making it.

    Parameters
    ----------
    points_px : (N, 3) (x, y, z), 0 at voxel D // 2.
    sigma_px : of the Gaussians.
    rotations : (B, 3, 3), each from the density's frame to its image's.
    box_size_px : D.
    """
    images = np.empty((len(rotations), box_size_px, box_size_px), np.float32)
    for image, rotation in zip(images, rotations):
        x, y = (
            _profiles(points_px @ rotation[k], sigma_px, box_size_px).astype(np.float32)
            for k in range(2)
        )
        np.matmul(y.T, x, out=image)
    images *= np.float32(np.sqrt(2 * np.pi) * sigma_px)
    return images


def _profiles(places_px: np.ndarray, sigma_px: float, box_size_px: int) -> np.ndarray:
    """(N, D) of Gaussians along one axis; 0 beyond their reach."""
    axis = np.arange(box_size_px) - box_size_px // 2
    profiles = np.exp(-((axis - places_px[:, None]) ** 2) / (2 * sigma_px**2))
    profiles[profiles < np.exp(-(_BEAD_REACH_SIGMAS**2) / 2)] = 0
    return profiles
