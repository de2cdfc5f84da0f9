"""Losses and pair sampling against closed forms, Monte Carlo and SciPy."""

import numpy as np
import pytest
import tensorflow as tf

from cryoposes_plugin.core.conventions import rotations_to_quaternions
from cryoposes_plugin.core.geometry import symmetry
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.forward_model import ForwardModel
from cryoposes_plugin.core.networks.representations import axis_angle_rotations
from cryoposes_plugin.core.networks.rotation_grid import grid_rotations, grid_views, turns_about_z
from cryoposes_plugin.core.training import losses, pair_sampling, schedules
from cryoposes_plugin.core.types import Volume


def test_matrix_loss_is_the_squared_chord(rng):
    a, b = random_rotations(6, rng), random_rotations(6, rng)
    expected = 8 * np.sin(angular_distance_rad(a, b) / 2) ** 2
    np.testing.assert_allclose(losses.matrix_loss(tf.constant(a), tf.constant(b)), expected)
    np.testing.assert_allclose(
        losses.matrix_loss(tf.zeros((6, 3, 3), tf.float64), tf.constant(b)), 3.0
    )


def test_shift_loss_is_the_mean_square_of_what_is_known():
    predicted, truth = (
        tf.constant([[1.0, 2.0], [5.0, 5.0], [0.0, 0.0]]),
        tf.constant([[0.0, 0.0], [9.0, 9.0], [3.0, 1.0]]),
    )
    assert float(
        losses.shift_loss(predicted, truth, tf.constant([1.0, 0.0, 1.0]))
    ) == pytest.approx((2.5 + 5.0) / 2)
    assert float(losses.shift_loss(predicted, truth, tf.zeros(3))) == 0.0


def test_distances_of_rotations_by_their_angle(rng):
    a, b = random_rotations(50, rng), random_rotations(50, rng)
    d, pair = angular_distance_rad(a, b), (tf.constant(a), tf.constant(b))
    np.testing.assert_allclose(losses.geodesic_distance(*pair), d, atol=1e-9)
    np.testing.assert_allclose(
        losses.chordal_distance(*pair), 2 * np.sqrt(2) * np.sin(d / 2), atol=1e-6
    )
    overlap = np.sum(rotations_to_quaternions(a) * rotations_to_quaternions(b), axis=1)
    np.testing.assert_allclose(losses.quaternion_loss(*pair), 1 - overlap**2, atol=1e-12)


@pytest.mark.parametrize(
    "distance", [losses.geodesic_distance, losses.chordal_distance, losses.quaternion_loss]
)
def test_distances_have_a_finite_gradient_at_zero_and_at_a_half_turn(distance):
    for truth in (np.eye(3), np.diag([1.0, -1, -1])):
        predicted = tf.Variable(np.eye(3)[None], dtype=tf.float32)
        with tf.GradientTape() as tape:
            value = distance(predicted, tf.constant(truth[None], tf.float32))
        assert np.isfinite(tape.gradient(value, predicted).numpy()).all()
    assert float(distance(tf.eye(3), tf.eye(3))) < 2e-3


def test_angular_gaussian_integrates_to_one(rng):
    factor = rng.standard_normal((4, 4))
    matrix = factor @ factor.T + 0.3 * np.eye(4)
    q = rng.standard_normal((200_000, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    form = np.einsum("ni,ij,nj->n", q, matrix, q)
    density = np.sqrt(np.linalg.det(matrix)) * form**-2.0
    assert density.mean() == pytest.approx(1.0, rel=0.02)
    loss = losses.angular_gaussian_loss(
        tf.constant(np.repeat(matrix[None], 50, 0)), tf.constant(q[:50])
    )
    np.testing.assert_allclose(loss, -np.log(density[:50]))
    scaled = losses.angular_gaussian_loss(
        tf.constant(np.repeat(7 * matrix[None], 50, 0)), tf.constant(q[:50])
    )
    np.testing.assert_allclose(scaled, loss)


def test_matrix_pair_loss_vanishes_for_any_common_rotation_and_not_for_another(rng):
    true = random_rotations(8, rng)
    turned = random_rotations(1, rng)[0] @ true
    weights = pair_sampling.pair_weights(tf.constant(true, tf.float32), "random")

    def value(predicted):
        return float(
            losses.matrix_pair_loss(
                tf.constant(predicted, tf.float32), tf.constant(true, tf.float32), weights
            )
        )

    assert value(turned) < 1e-10
    assert value(random_rotations(8, rng)) > 0.3


def test_rotation_pair_loss_by_hand(rng):
    true, predicted = random_rotations(3, rng), random_rotations(3, rng)
    weights = tf.constant(np.triu(np.ones((3, 3)), 1) / 3)
    expected = np.mean(
        [
            abs(
                angular_distance_rad(true[i], true[j])
                - angular_distance_rad(predicted[i], predicted[j])
            )
            for i, j in ((0, 1), (0, 2), (1, 2))
        ]
    )
    assert float(
        losses.rotation_pair_loss(*map(tf.constant, (predicted, true)), weights)
    ) == pytest.approx(expected)


def test_random_pairs_count_the_same():
    weights = pair_sampling.pair_weights(tf.eye(3, batch_shape=[5]), "random").numpy()
    np.testing.assert_allclose(weights, np.triu(np.full((5, 5), 0.1), 1), atol=1e-7)


def test_stratified_pairs_weigh_every_distance_alike(rng):
    # Views crowded around one direction: small distances are many, large ones few.
    rotations = np.concatenate(
        [np.eye(3)[None] + 0 * random_rotations(40, rng), random_rotations(40, rng)]
    )
    weights = pair_sampling.pair_weights(tf.constant(rotations, tf.float32), "stratified").numpy()
    i, j = np.triu_indices(80, 1)
    distance = angular_distance_rad(rotations[i], rotations[j])
    bins = np.minimum(
        (distance / np.pi * pair_sampling.DISTANCE_BINS).astype(int),
        pair_sampling.DISTANCE_BINS - 1,
    )
    mass = np.bincount(bins, weights[i, j], pair_sampling.DISTANCE_BINS)
    assert weights.sum() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(mass[mass > 0], 1 / (mass > 0).sum(), rtol=0.05)
    assert weights[np.tril_indices(80)].max() == 0


def test_pairs_of_a_single_image_are_none():
    for sampling in ("random", "stratified"):
        assert pair_sampling.pair_weights(tf.eye(3, batch_shape=[1]), sampling).numpy().sum() == 0


def test_grid_targets_peak_at_the_nearest_grid_rotation(rng):
    rotations = random_rotations(10, rng)
    turns, views = tf.constant(turns_about_z(16)), tf.constant(grid_views(24))
    targets = losses.grid_targets(tf.constant(rotations, tf.float32), turns, views, 25.0).numpy()
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-5)
    grid = grid_rotations(16, 24)
    nearest = [np.argmin(angular_distance_rad(grid, r[None])) for r in rotations]
    np.testing.assert_array_equal(targets.argmax(axis=1), nearest)


def test_nearest_equivalent_agrees_with_geometry(rng):
    group = symmetry.symmetry_rotations("D3")
    true, predicted = random_rotations(20, rng), random_rotations(20, rng)
    mine = losses.nearest_equivalent(tf.constant(true), tf.constant(predicted), tf.constant(group))
    np.testing.assert_allclose(mine, symmetry.nearest_equivalent(true, predicted, group))
    assert losses.nearest_equivalent(true, predicted, None) is true


def test_curriculum_goes_from_distances_to_poses():
    assert schedules.curriculum(0.0) == (0.0, 1.0)
    assert schedules.curriculum(0.25) == (0.25, 0.5)
    assert schedules.curriculum(1.0) == (0.5, 0.0)


def test_learning_rate_rises_the_same_way_whatever_the_total():
    short, long = (
        [schedules.one_cycle_factor(s, total, 50) for s in range(total)] for total in (60, 500)
    )
    assert short[:50] == long[:50]
    assert max(long) == pytest.approx(1.0)
    assert np.argmax(long) in (49, 50)
    assert long[-1] < 1e-3
    assert (np.diff(long[50:]) < 0).all()
    assert [schedules.fraction_done(s, 150, 50) for s in (0, 50, 100, 150)] == [0, 0, 0.5, 1]


def test_stepped_learning_rate_falls_to_a_fifth():
    factors = [
        schedules.learning_rate_factor("stepped", step, 2000, 50) for step in (0, 1599, 1600, 1999)
    ]
    assert factors == [1.0, 1.0, 0.2, 0.2]
    assert schedules.learning_rate_factor("one-cycle", 0, 100, 50) == schedules.one_cycle_factor(
        0, 100, 50
    )


def test_reprojections_agree_at_the_truth_and_at_its_equivalents(asymmetric_volume, rng):
    """Of a map made symmetric (C2), the other half turn is as good, and a wrong rotation costs."""
    data = asymmetric_volume.data
    index = -np.arange(48) % 48
    model = ForwardModel([Volume(data + data[:, index][:, :, index], 5.0)], 24, 10.0)
    true = tf.constant(random_rotations(4, rng), tf.float32)
    turned = tf.matmul(true, tf.constant(np.diag([-1.0, -1.0, 1.0]), tf.float32))
    assert float(losses.reprojection_loss(model, true, true)) == 0
    wrong = tf.constant(random_rotations(4, rng), tf.float32)
    assert float(losses.reprojection_loss(model, turned, true)) < 0.1
    assert float(losses.reprojection_loss(model, wrong, true)) > 0.5


def test_reprojection_loss_falls_along_its_gradient(asymmetric_volume, rng):
    model = ForwardModel([asymmetric_volume], 24, 10.0)
    true = random_rotations(4, rng)
    vectors = tf.Variable(0.1 * rng.standard_normal((4, 3)), dtype=tf.float32)

    def value():
        off = axis_angle_rotations(tf.convert_to_tensor(vectors))
        return losses.reprojection_loss(
            model, tf.matmul(off, tf.constant(true, tf.float32)), tf.constant(true, tf.float32)
        )

    with tf.GradientTape() as tape:
        before = value()
    gradient = tape.gradient(before, vectors).numpy()
    start, direction = vectors.numpy(), gradient / np.linalg.norm(gradient)
    plus, minus = (
        vectors.assign(start + sign * 2e-3 * direction) is not None and float(value())
        for sign in (1, -1)
    )
    assert (plus - minus) / 4e-3 == pytest.approx(np.linalg.norm(gradient), rel=0.05)
    vectors.assign(start - 0.05 * direction)
    assert float(value()) < float(before)
