"""Point groups (order, closure, axes) and orientation distributions (moments in closed form)."""

import numpy as np
import pytest

from cryoposes_plugin.core import conventions
from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.geometry import sampling
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.symmetry import (
    nearest_equivalent,
    random_rotation_error_rad,
    symmetric_distance_rad,
    symmetry_rotations,
)


@pytest.mark.parametrize(
    "name, order",
    [
        ("C1", 1),
        ("c4", 4),
        ("C7", 7),
        ("D2", 4),
        ("D7", 14),
        ("T", 12),
        ("O", 24),
        ("I", 60),
        ("I1", 60),
        ("I2", 60),
    ],
)
def test_group_is_closed_and_has_its_order(name, order):
    group = symmetry_rotations(name)
    assert len(group) == order
    np.testing.assert_allclose(group[0], np.eye(3), atol=1e-12)
    products = np.einsum("aij,bjk->abik", group, group).reshape(-1, 3, 3)
    nearest = np.abs(products[:, None] - group[None]).max(axis=(2, 3)).min(axis=1)
    assert nearest.max() < 1e-6


def test_axes_lie_where_relion_puts_them():
    assert any(np.allclose(g, np.diag([1, -1, -1])) for g in symmetry_rotations("D5"))
    assert any(np.allclose(g, np.diag([-1, -1, 1])) for g in symmetry_rotations("I"))
    assert any(
        np.allclose(g, conventions.rotations_about_z(2 * np.pi / 3)[0])
        for g in symmetry_rotations("T")
    )


@pytest.mark.parametrize("name", ["X3", "C0", "", "D", "I7", "C-2", "helical"])
def test_unknown_group_is_a_sentence(name):
    with pytest.raises(ConfigError, match="is unknown; use C1"):
        symmetry_rotations(name)


def test_equivalent_poses_have_no_distance(rng):
    group = symmetry_rotations("D2")
    a = sampling.random_rotations(20, rng)
    b = a @ group[rng.integers(4, size=20)]
    assert symmetric_distance_rad(a, b, group).max() < 1e-6
    np.testing.assert_allclose(nearest_equivalent(b, a, group), a, atol=1e-12)
    assert (
        symmetric_distance_rad(a, a[::-1], group) <= angular_distance_rad(a, a[::-1]) + 1e-9
    ).all()


def test_uniform_rotations_have_haar_moments(rng):
    a = sampling.random_rotations(20000, rng)
    assert np.abs(a.mean(axis=0)).max() < 0.02
    distance = angular_distance_rad(a[::2], a[1::2])
    assert distance.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.02)


def test_viewing_directions_are_met(rng):
    directions = rng.normal(size=(10, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    a = sampling.rotations_viewing(directions, rng.uniform(0, 6, 10))
    np.testing.assert_allclose(conventions.viewing_directions(a), directions, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(a), 1)


@pytest.mark.oracle
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_healpix_grid_against_healpy(order):
    healpy = pytest.importorskip("healpy", reason="healpy is the oracle of the HEALPix grid")
    expected = np.stack(healpy.pix2vec(2**order, np.arange(12 * 4**order)), axis=1)
    np.testing.assert_allclose(sampling.healpix_directions(order), expected, atol=1e-12)


def test_healpix_rotations_are_distinct_and_even(rng):
    a = sampling.healpix_rotations(576, rng)
    distance = angular_distance_rad(a[:, None], a[None])[~np.eye(576, dtype=bool)]
    assert np.rad2deg(distance.min()) > 15
    assert np.abs(a.mean(axis=0)).max() < 0.02


def test_half_and_quarter_sphere(rng):
    half = conventions.viewing_directions(sampling.hemisphere(500, rng))
    quarter = conventions.viewing_directions(sampling.hemisphere(500, rng, octants=2))
    assert half[:, 2].min() >= 0
    assert half[:, 1].min() < 0
    assert quarter[:, 2].min() >= 0
    assert quarter[:, 1].min() >= 0


@pytest.mark.parametrize("kappa", [0.0, 2.0, 50.0])
def test_preferred_views_have_the_mean_cosine_of_von_mises_fisher(rng, kappa):
    mean = np.array([[1.0, 2.0, -2.0]]) / 3
    cosine = conventions.viewing_directions(sampling.preferred(20000, rng, mean, kappa)) @ mean[0]
    expected = 1 / np.tanh(kappa) - 1 / kappa if kappa else 0.0
    assert cosine.mean() == pytest.approx(expected, abs=0.015)


def test_random_rotations_are_wrong_by_the_closed_form():
    found = random_rotation_error_rad(symmetry_rotations("C1"))
    assert found == pytest.approx(np.sqrt(np.pi**2 / 3 + 2), rel=1e-3)


def test_symmetry_brings_random_rotations_closer():
    # about an n-fold axis at least: the angle about it falls from pi to pi / n
    assert random_rotation_error_rad(symmetry_rotations("I")) < np.deg2rad(35)
