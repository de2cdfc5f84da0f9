"""The other hand: the same images, there and back, and what belongs to a pose."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.conventions import rotations_to_euler_deg
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.io.covariances import covariance_of_texts, covariance_texts
from cryoposes_plugin.core.particles.hand import (
    particles_of_other_hand,
    rotations_of_other_hand,
    volume_of_other_hand,
)
from cryoposes_plugin.core.scores import COVARIANCE
from cryoposes_plugin.core.types import Volume

from ...exact_projections import exact_projections, particle_set

both = pytest.mark.parametrize("flip", ["z", "centre"])


@both
def test_images_of_the_other_hand_are_the_same(asymmetric_volume, flip, rng):
    rotations, shifts = random_rotations(4, rng), rng.normal(0, 2, (4, 2))
    volume = asymmetric_volume
    given = exact_projections(volume.data, rotations, shifts)
    mirrored = volume_of_other_hand(volume, flip).data
    found = exact_projections(mirrored, rotations_of_other_hand(rotations, flip), shifts)
    np.testing.assert_allclose(found, given, atol=1e-4 * np.abs(given).max())
    unturned = exact_projections(mirrored, rotations, shifts)
    assert np.abs(unturned - given).max() > 0.1 * np.abs(given).max()


@both
@pytest.mark.parametrize("box", [8, 7])
def test_mirroring_twice_gives_back_volume_and_poses(flip, box, rng):
    volume = Volume(rng.normal(size=(box,) * 3).astype(np.float32), 3.0)
    twice = volume_of_other_hand(volume_of_other_hand(volume, flip), flip)
    np.testing.assert_array_equal(twice.data, volume.data)
    rotations = random_rotations(5, rng)
    again = rotations_of_other_hand(rotations_of_other_hand(rotations, flip), flip)
    np.testing.assert_allclose(again, rotations, atol=1e-12)


@both
def test_a_covariance_is_that_of_the_turned_tangent(flip, rng, tmp_path):
    rotation = random_rotations(1, rng)
    w, t = rng.normal(0, 0.01, (20000, 3)) * [1, 2, 3], rng.normal(0, 0.3, (20000, 2))
    w[:, 0] += 0.5 * w[:, 1]
    t[:, 0] += 20 * w[:, 0]
    covariance = np.cov(np.concatenate([w, t], axis=1).T)[None]
    drawn = Rotation.from_rotvec(w).as_matrix() @ rotation
    turned = rotations_of_other_hand(drawn, flip)
    centre = rotations_of_other_hand(rotation, flip)
    again = Rotation.from_matrix(turned @ np.swapaxes(centre, 1, 2)).as_rotvec()
    expected = np.cov(np.concatenate([again, t], axis=1).T)

    images = np.zeros((1, 8, 8), np.float32)
    extra = {COVARIANCE: covariance_texts(covariance)}
    _, table = particle_set(tmp_path, images, rotation, np.zeros((1, 2)), 3.0, extra=extra)
    table, found = particles_of_other_hand(table, covariance, flip)
    np.testing.assert_allclose(found[0], expected, rtol=1e-6, atol=1e-12)
    said = covariance_of_texts(table.extra[COVARIANCE], table.ids, "particles.star")
    np.testing.assert_allclose(said[0], expected, rtol=1e-4, atol=1e-9)


@both
def test_priors_turn_with_the_angles(flip, rng, tmp_path):
    rotations = random_rotations(6, rng)
    labels = ("rlnAngleRotPrior", "rlnAngleTiltPrior", "rlnAnglePsiPrior")
    angles = rotations_to_euler_deg(rotations)
    extra = {label: [f"{a:.6f}" for a in angles[:, i]] for i, label in enumerate(labels)}
    images = np.zeros((6, 8, 8), np.float32)
    _, table = particle_set(tmp_path, images, rotations, np.zeros((6, 2)), 3.0, extra=extra)
    table, _ = particles_of_other_hand(table, None, flip)
    prior = np.stack([np.array(table.extra[label], float) for label in labels], axis=1)
    found = Rotation.from_euler("ZYZ", prior, degrees=True).as_matrix()
    np.testing.assert_allclose(np.swapaxes(found, 1, 2), table.rotations, atol=1e-7)


@pytest.mark.parametrize("group", ["C4", "D7", "T", "O", "I1", "I3"])
def test_axes_of_every_group_stay_in_place_through_the_centre(group):
    operations = symmetry_rotations(group)
    turn = rotations_of_other_hand(np.eye(3)[None], "centre")[0]
    # V(g x) = V(x) makes A and A g one pose; so it must be in the other hand.
    other = rotations_of_other_hand(operations, "centre")
    away = np.abs((turn @ operations)[:, None] - other[None]).max(axis=(2, 3)).min(axis=1)
    assert away.max() < 1e-6
