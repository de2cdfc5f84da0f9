"""A quarter of a grid of rotations, and the mates of its slices."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.abinitio.mates import (
    HALF_TURNS,
    HalfTurns,
    parents,
    whole_grid,
)
from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import healpix_grid, random_rotations

POINTS = FourierPoints(16)
CENTRES = np.random.default_rng(0).normal(0, 1.5, (6, 3))


def slices(rotations):
    """(B, P) transforms of a few points in space, in closed form."""
    plane = np.concatenate([POINTS.frequencies, np.zeros((len(POINTS), 1))], axis=1)
    places = np.einsum("bij,nj->bni", rotations, CENTRES)
    return np.exp(-2j * np.pi / 16 * places @ plane.T).sum(axis=1).astype(np.complex64)


@pytest.mark.parametrize("order", [1, 2])
def test_a_quarter_and_its_mates_are_the_healpix_grid(order):
    grid = Rotation.from_matrix(healpix_grid(order)).as_quat()
    distance, row = cKDTree(np.concatenate([grid, -grid])).query(
        Rotation.from_matrix(whole_grid(order)).as_quat()
    )
    assert distance.max() < 1e-9
    assert len(set(row % len(grid))) == len(grid)


def test_the_slices_of_mates_follow_from_one():
    turn = random_rotations(1, np.random.default_rng(1))
    quarter = slices(turn)
    found = HalfTurns(POINTS.frequencies).mates(np.repeat(quarter, 4, axis=0), np.arange(4))
    np.testing.assert_allclose(found, slices(HALF_TURNS[:, :, None] * turn), atol=1e-4)


def test_products_of_parts_are_those_of_the_coefficients():
    turns = HalfTurns(POINTS.frequencies)
    a, b = slices(random_rotations(2, np.random.default_rng(2)))
    parts = sum((p * q).sum() for p, q in zip(turns.parts(a), turns.parts(b)))
    assert parts == pytest.approx((a * b.conj()).real.sum(), rel=1e-5)


def test_a_rotation_belongs_to_the_nearest_of_the_coarser_grid():
    fine, coarse = whole_grid(2), whole_grid(1)
    for row in (0, 301, 1151, 4000):
        distance = angular_distance_rad(coarse, fine[row])
        assert distance[parents(2).ravel()[row]] == pytest.approx(distance.min())
