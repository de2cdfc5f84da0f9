"""The shape of a map on spheres does not change when the map is turned."""

import numpy as np
import pytest

from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.maps.likeness import DEGREES, RADII_ANGSTROM, likeness, sphere_amplitudes
from cryoposes_plugin.core.types import Volume

PIXEL, BOX = 6.0, 48


def blobs(places_angstrom, width_angstrom=14.0):
    grid = (np.indices((BOX, BOX, BOX))[::-1] - BOX // 2) * PIXEL
    squares = [((grid - np.reshape(p, (3, 1, 1, 1))) ** 2).sum(axis=0) for p in places_angstrom]
    density = sum(np.exp(-0.5 * s / width_angstrom**2) for s in squares)
    return Volume(density.astype(np.float32), PIXEL)


@pytest.fixture(scope="module")
def places():
    return np.random.default_rng(4).normal(0, 35, (6, 3))


def test_a_turned_map_is_the_same(places):
    turned = places @ random_rotations(1, np.random.default_rng(1))[0].T
    first, second = (sphere_amplitudes(blobs(p)) for p in (places, turned))
    assert first.shape == (len(RADII_ANGSTROM), len(DEGREES))
    assert likeness(first, first) == pytest.approx(1.0)
    assert likeness(first, second) > 0.99


def test_another_map_is_another(places):
    other = np.random.default_rng(5).normal(0, 35, (6, 3))
    first, second = (sphere_amplitudes(blobs(p)) for p in (places, other))
    assert likeness(first, second) < 0.9


def test_two_blobs_opposite_each_other_have_even_degrees_alone():
    found = sphere_amplitudes(blobs([[50.0, 0, 0], [-50.0, 0, 0]]))
    assert np.abs(found[:, DEGREES % 2 == 1]).max() < 0.02
    assert np.argmax((found**2).sum(axis=1)) == np.argmin(np.abs(RADII_ANGSTROM - 50))


def test_a_map_without_density_is_like_none(places):
    empty = sphere_amplitudes(Volume(np.zeros((BOX, BOX, BOX), np.float32), PIXEL))
    assert likeness(empty, sphere_amplitudes(blobs(places))) == 0.0
