"""Whether given poses have the hand of the map: the test and what it says in doubt."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.refinement.hand import HandTest, compare_hands

from .scene import BOX, NUMBER, PIXEL


def test_the_hand_of_given_poses_is_told(scene):
    images = scene.observed(scene.clean + scene.noise)
    start = scene.near(1.0, 0.1)
    arguments = (scene.points, PIXEL, images, start, BOX // 2 - 1)
    assert compare_hands(scene.volume, *arguments).verdict == "same"
    other = compare_hands(scene.volume.mirrored(), *arguments)
    assert other.verdict == "opposite"
    assert "mirror" in other.statement
    assert HandTest(0.0, 0.0, 0.0).verdict == "open"
    few = start.take(start.particle < 1)
    assert (
        compare_hands(scene.volume, scene.points, PIXEL, images.take(slice(0, 1)), few, 19).verdict
        == "open"
    )


def test_no_hand_is_told_where_neither_fits(scene):
    images = scene.observed(scene.clean + scene.noise)
    for seed in range(4):
        random = random_rotations(NUMBER, np.random.default_rng(seed))
        start = dataclasses.replace(scene.near(0.0, 0.0), rotations=random)
        test = compare_hands(scene.volume, scene.points, PIXEL, images, start, 19)
        assert test.verdict == "undecided"
        assert "not poses of these particles" in test.statement
    start = dataclasses.replace(start, rotations=np.tile(np.eye(3), (NUMBER, 1, 1)))
    assert (
        compare_hands(scene.volume, scene.points, PIXEL, images, start, 19).verdict == "undecided"
    )


@pytest.mark.parametrize("degrees", [5.0, 25.0])
def test_the_hand_of_coarse_poses_is_told(scene, degrees):
    images, start = scene.observed(scene.clean + scene.noise), scene.near(degrees, 0.5)
    assert compare_hands(scene.volume, scene.points, PIXEL, images, start, 19).verdict == "same"


def test_right_poses_are_told_among_images_of_something_else(scene):
    images, start = scene.clean + scene.noise, scene.near(1.0, 0.1)
    images[8:] = scene.noise[8:]
    test = compare_hands(scene.volume, scene.points, PIXEL, scene.observed(images), start, 19)
    assert test.verdict == "same"
    images[8:] = 0
    assert (
        compare_hands(scene.volume, scene.points, PIXEL, scene.observed(images), start, 19).verdict
        == "same"
    )


def test_of_one_particle_the_hand_is_not_said_to_fit_alike(scene):
    assert "too few" in HandTest(130.0, 100.0, np.inf).statement


def test_a_hand_needs_an_effect_as_well_as_significance():
    assert HandTest(130.0, 100.0, 1.0, 100.0, 5.0).verdict == "same"
    assert HandTest(100.0, 130.0, 1.0, 100.0, 5.0).verdict == "opposite"
    assert HandTest(115.0, 100.0, 1.0, 100.0, 5.0).verdict == "open"
    assert HandTest(130.0, 100.0, 8.0, 100.0, 5.0).verdict == "open"
    assert HandTest(130.0, 100.0, 1.0, 19.0, 5.0).verdict == "undecided"
    assert HandTest(130.0, 100.0, np.inf).verdict == "open"


def test_mirroring_twice_changes_nothing(scene):
    again = scene.volume.mirrored().mirrored().data
    np.testing.assert_array_equal(again[1:], scene.volume.data[1:])
