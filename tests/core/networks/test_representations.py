"""Rotations of every representation against closed forms, and their gradients against finite
differences.
"""

import numpy as np
import pytest
import scipy.spatial.transform
import tensorflow as tf

from cryoposes_plugin.core.conventions import rotations_to_quaternions
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad, project_to_so3
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.networks import representations
from cryoposes_plugin.core.networks.quaternions import quaternion_rotations


def numeric_gradient(function, point, step=1e-6):
    gradient = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        change = np.zeros_like(point)
        change[index] = step
        gradient[index] = (function(point + change) - function(point - change)) / (2 * step)
    return gradient


def gradient_of(function, point):
    variable = tf.Variable(point)
    with tf.GradientTape() as tape:
        value = function(variable)
    return tape.gradient(value, variable).numpy()


@pytest.mark.parametrize("name", list(representations.NUMBERS))
def test_every_representation_gives_rotations_with_the_right_gradient(name, rng):
    numbers = rng.standard_normal((3, 2, representations.NUMBERS[name]))
    rotations = representations.rotations_of(name, tf.constant(numbers)).numpy()
    assert rotations.shape == (3, 2, 3, 3)
    np.testing.assert_allclose(
        rotations @ np.swapaxes(rotations, -1, -2),
        np.broadcast_to(np.eye(3), rotations.shape),
        atol=1e-9,
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0)
    weights = rng.standard_normal((3, 2, 3, 3))

    def value(x):
        return tf.reduce_sum(weights * representations.rotations_of(name, tf.convert_to_tensor(x)))

    numeric = numeric_gradient(lambda x: float(value(x)), numbers)
    # The gap of the mode's eigenvalue is softened by 1 % of their mean.
    tolerance = dict(rtol=0.05, atol=0.05) if name == "bingham10" else dict(rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient_of(value, numbers), numeric, **tolerance)


@pytest.mark.parametrize("name", list(representations.NUMBERS))
def test_the_mode_of_every_form_is_the_rotation(name, rng):
    numbers = tf.constant(rng.standard_normal((8, representations.NUMBERS[name])))
    forms = representations.bingham_matrices_of(name, numbers).numpy()
    mode = np.linalg.eigh(forms)[1][:, :, 0]
    rotations = representations.rotations_of(name, numbers).numpy()
    np.testing.assert_allclose(quaternion_rotations(tf.constant(mode)), rotations, atol=1e-6)


@pytest.mark.parametrize(
    "singular",
    [(3, 2, 1), (1, 1, 1), (2, 2, 0.5), (1.7, 0.9, -0.4), (1, 1, -0.2)],
    ids=lambda s: "-".join(map(str, s)),
)
def test_gradient_of_the_nearest_rotation_where_singular_values_meet(singular, rng):
    """TensorFlow's own gradient of the decomposition is infinite at (1, 1, 1), which is the
    optimum.
    """
    u, v = random_rotations(2, rng)
    matrix = (u @ np.diag(np.array(singular, float)) @ v.T)[None]
    weights = rng.standard_normal((1, 3, 3))

    def value(x):
        return tf.reduce_sum(weights * representations.nearest_rotations(tf.convert_to_tensor(x)))

    rotation = representations.nearest_rotations(tf.constant(matrix)).numpy()
    np.testing.assert_allclose(rotation, project_to_so3(matrix), atol=1e-12)
    np.testing.assert_allclose(rotation[0], u @ v.T, atol=1e-12)
    numeric = numeric_gradient(lambda x: float(value(x)), matrix)
    np.testing.assert_allclose(gradient_of(value, matrix), numeric, rtol=1e-6, atol=1e-6)


def test_gradient_of_the_nearest_rotation_is_finite_where_it_jumps():
    for matrix in (
        np.zeros((1, 3, 3)),
        np.diag([1.0, 1.0, -1.0])[None],
        np.diag([1.0, 0.0, 0.0])[None],
    ):
        gradient = gradient_of(
            lambda x: tf.reduce_sum(representations.nearest_rotations(tf.convert_to_tensor(x))),
            matrix,
        )
        assert np.isfinite(gradient).all()


@pytest.mark.oracle
def test_axis_angle_agrees_with_scipy_also_at_zero(rng):
    vectors = np.concatenate(
        [rng.standard_normal((10, 3)), [[0, 0, 0], [1e-5, 0, 0], [0, np.pi, 0]]]
    )
    expected = scipy.spatial.transform.Rotation.from_rotvec(vectors).as_matrix()
    np.testing.assert_allclose(
        representations.axis_angle_rotations(tf.constant(vectors)), expected, atol=1e-9
    )
    gradient = gradient_of(
        lambda x: representations.axis_angle_rotations(tf.convert_to_tensor(x))[0, 2, 1],
        np.zeros((1, 3)),
    )
    np.testing.assert_allclose(gradient, [[1, 0, 0]], atol=1e-9)


def test_gram_schmidt_keeps_the_first_column_and_the_plane(rng):
    numbers = rng.standard_normal((5, 6))
    rotations = representations.gram_schmidt_rotations(tf.constant(numbers)).numpy()
    first, second = numbers[:, :3], numbers[:, 3:]
    np.testing.assert_allclose(
        rotations[:, :, 0], first / np.linalg.norm(first, axis=1, keepdims=True)
    )
    np.testing.assert_allclose(np.einsum("bi,bi->b", rotations[:, :, 2], second), 0, atol=1e-12)
    assert (np.einsum("bi,bi->b", rotations[:, :, 1], second) > 0).all()


def test_davenport_matrix_turns_the_trace_into_a_form(rng):
    parameters, rotations = rng.standard_normal((6, 3, 3)), random_rotations(6, rng)
    quaternions = rotations_to_quaternions(rotations)
    forms = representations.davenport_matrices(tf.constant(parameters)).numpy()
    np.testing.assert_allclose(
        np.einsum("bi,bij,bj->b", quaternions, forms, quaternions),
        np.einsum("bij,bij->b", parameters, rotations),
    )


def test_longer_numbers_mean_sharper_forms(rng):
    for name in ("svd9", "quaternion", "bingham10"):
        numbers = rng.standard_normal((4, representations.NUMBERS[name]))
        short, long = (
            np.linalg.eigvalsh(representations.bingham_matrices_of(name, tf.constant(f * numbers)))
            for f in (1, 3)
        )
        assert (long[:, 1] - long[:, 0] > 2 * (short[:, 1] - short[:, 0])).all()
        once, thrice = (
            representations.rotations_of(name, tf.constant(f * numbers)).numpy() for f in (1, 3)
        )
        assert angular_distance_rad(once, thrice).max() < 1e-3
