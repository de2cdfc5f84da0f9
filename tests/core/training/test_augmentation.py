"""Augmented images are the images of the changed poses: checked against the forward model."""

import numpy as np
import pytest
import tensorflow as tf

from cryoposes_plugin.core.conventions import mirror, rotations_about_z
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging import transforms
from cryoposes_plugin.core.imaging.forward_model import ForwardModel
from cryoposes_plugin.core.training.augmentation import Augmentation
from cryoposes_plugin.core.training.labels import PoseLabels

NUMBER = 6


@pytest.fixture(scope="module")
def project(asymmetric_volume):
    model = ForwardModel([asymmetric_volume], 48, asymmetric_volume.pixel_size_angstrom)

    def images(rotations, shifts=None):
        shifts = np.zeros((len(rotations), 2)) if shifts is None else shifts
        return model.images(
            tf.zeros(len(rotations), tf.int32),
            tf.constant(rotations, tf.float32),
            tf.constant(shifts, tf.float32),
        )

    return images


def correlation(a, b):
    a, b = (np.asarray(x).reshape(len(x), -1) for x in (a, b))
    return np.array([np.corrcoef(p, q)[0, 1] for p, q in zip(a, b)])


def test_turned_images_are_those_of_turned_poses(project, rng):
    rotations = random_rotations(NUMBER, rng)
    angles = np.deg2rad([10.0, 45.0, 90.0, 133.0, -170.0, -60.0])
    turned = transforms.rotate(project(rotations), tf.constant(angles, tf.float32))
    truth = project(rotations_about_z(angles) @ rotations)
    wrong = project(rotations_about_z(-angles) @ rotations)
    assert correlation(turned, truth).min() > 0.99
    assert correlation(turned, wrong)[:2].max() < 0.97
    np.testing.assert_allclose(
        transforms.rotation_about_z(tf.constant(angles)), rotations_about_z(angles), atol=1e-12
    )


def test_quarter_turns_are_exact(rng):
    images = rng.standard_normal((1, 8, 8)).astype(np.float32)
    turned = transforms.rotate(tf.constant(images), tf.constant([np.pi / 2], tf.float32)).numpy()
    index = np.arange(8)
    np.testing.assert_allclose(
        turned, images[:, (8 - index[None, :]) % 8, index[:, None]], atol=1e-5
    )


def test_turning_keeps_noise_white(rng):
    images = tf.constant(rng.standard_normal((64, 32, 32)), tf.float32)
    turned = transforms.rotate(
        images, tf.constant(rng.uniform(-np.pi, np.pi, 64), tf.float32)
    ).numpy()
    centre = turned[:, 8:24, 8:24]
    assert centre.var() == pytest.approx(1.0, abs=0.05)
    assert abs((centre[:, :, 1:] * centre[:, :, :-1]).mean()) < 0.03


def test_mirrored_images_are_views_from_the_opposite_side(project, rng):
    rotations = random_rotations(NUMBER, rng)
    flip = tf.constant([True] * (NUMBER - 1) + [False])
    images, changed = transforms.mirror_where(
        flip, project(rotations), tf.constant(rotations, tf.float32)
    )
    expected = np.concatenate([mirror(rotations[:-1]), rotations[-1:]])
    np.testing.assert_allclose(changed, expected, atol=1e-6)
    assert correlation(images, project(expected)).min() > 0.999


def test_shifted_images_are_those_of_shifted_poses(project, rng):
    rotations, shifts = random_rotations(NUMBER, rng), rng.normal(0, 2, (NUMBER, 2))
    moved = transforms.shift(project(rotations), tf.constant(shifts, tf.float32))
    np.testing.assert_allclose(
        moved, project(rotations, shifts), atol=1e-3 * float(tf.reduce_max(moved))
    )


def test_augmentation_is_a_function_of_the_seed(project, rng):
    rotations = tf.constant(random_rotations(NUMBER, rng), tf.float32)
    images = project(rotations)
    labels = PoseLabels(rotations, tf.zeros((NUMBER, 2)), tf.ones(NUMBER))
    everything = Augmentation(True, True, 1.0, 0.1)
    first, again, other = (
        everything.apply(images, labels, tf.constant(s, tf.int32)) for s in ([1, 2], [1, 2], [1, 3])
    )
    np.testing.assert_array_equal(first[0], again[0])
    assert np.abs(first[0] - other[0]).max() > 0.1
    nothing = Augmentation(False, False, 0.0, 0.0)
    np.testing.assert_array_equal(nothing.apply(images, labels, tf.constant([1, 2]))[0], images)


def test_labels_move_with_their_images(project, rng):
    """Mirror, turn and shift at once: the changed images are those of the changed poses, shifts and
    all.
    """
    rotations, shifts = random_rotations(NUMBER, rng), rng.normal(0, 3, (NUMBER, 2))
    labels = PoseLabels(*(tf.constant(a, tf.float32) for a in (rotations, shifts, np.ones(NUMBER))))
    change = Augmentation(True, True, 2.0, 0.0)
    images, changed = change.apply(project(rotations, shifts), labels, tf.constant([1, 2]))
    assert correlation(images, project(changed.rotations, changed.shifts_px)).min() > 0.99
    assert correlation(images, project(changed.rotations, shifts)).mean() < 0.9
    np.testing.assert_array_equal(changed.shift_known, 1)
