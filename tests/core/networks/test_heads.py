"""Bingham matrices, their modes and gradients, and quaternions of rotations, against closed forms
and SciPy.
"""

import numpy as np
import pytest
import tensorflow as tf

from cryoposes_plugin.core.conventions import rotations_to_quaternions
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.models.uncertainty import dispersion_coefficients
from cryoposes_plugin.core.networks import quaternions as heads


def random_symmetric(rng, number):
    factor = rng.standard_normal((number, 4, 4))
    return factor @ np.swapaxes(factor, 1, 2)


def test_triangular_matrix_is_laid_out_as_in_the_paper():
    triangle = heads.triangular_matrix(tf.constant(np.arange(1.0, 11.0)[None])).numpy()[0]
    np.testing.assert_array_equal(
        triangle, [[1, 2, 3, 4], [0, 6, 7, 8], [0, 0, 10, 9], [0, 0, 0, 5]]
    )


def test_bingham_matrix_is_the_square_of_the_triangle(rng):
    theta = rng.standard_normal((5, 3, 10))
    triangle = heads.triangular_matrix(tf.constant(theta)).numpy()
    np.testing.assert_allclose(
        heads.bingham_matrix(tf.constant(theta)), triangle @ np.swapaxes(triangle, -1, -2)
    )


def test_smallest_eigenvector_minimises_the_form(rng):
    matrices = random_symmetric(rng, 20)
    mode = heads.smallest_eigenvector(tf.constant(matrices)).numpy()
    values = np.linalg.eigvalsh(matrices)[:, 0]
    np.testing.assert_allclose(np.einsum("bi,bij,bj->b", mode, matrices, mode), values, rtol=1e-9)


def test_gradient_of_the_mode_agrees_with_finite_differences(rng):
    basis = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    matrix = basis @ np.diag([1.0, 2.0, 3.5, 5.0]) @ basis.T
    weights = rng.standard_normal(4)

    def value(flat):
        mode = np.linalg.eigh(flat)[1][:, 0]
        return abs(mode @ weights)

    variable = tf.Variable(matrix[None])
    with tf.GradientTape() as tape:
        result = tf.abs(tf.reduce_sum(heads.smallest_eigenvector(variable) * weights))
    gradient = tape.gradient(result, variable).numpy()[0]
    step = 1e-6
    for i in range(4):
        for j in range(i, 4):
            change = np.zeros((4, 4))
            change[i, j] += 0.5 * step
            change[j, i] += 0.5 * step
            numeric = (value(matrix + change) - value(matrix - change)) / (2 * step)
            # The softened gap is within (e / gap)^2 of the exact one; here that is 1e-3.
            assert numeric == pytest.approx(gradient[i, j], rel=3e-3, abs=1e-3)


@pytest.mark.parametrize("values", [(1, 1, 1, 1), (1, 1 + 1e-7, 2, 3), (0, 0, 0, 0)])
def test_gradient_of_the_mode_is_bounded_where_eigenvalues_meet(values):
    variable = tf.Variable(np.diag(np.array(values, dtype=np.float32))[None])
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(heads.smallest_eigenvector(variable) * [[0.3, -0.5, 0.7, 0.2]])
    gradient = tape.gradient(result, variable).numpy()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() < 200


def test_quaternions_of_rotations_agree_with_conventions(rng):
    half_turns = [np.diag(d) for d in ([1.0, -1, -1], [-1.0, 1, -1], [-1.0, -1, 1], [1.0, 1, 1])]
    rotations = np.concatenate([random_rotations(200, rng), half_turns])
    mine = heads.rotation_quaternions(tf.constant(rotations)).numpy()
    overlap = np.abs(np.sum(mine * rotations_to_quaternions(rotations), axis=1))
    np.testing.assert_allclose(overlap, 1.0, atol=1e-12)
    np.testing.assert_allclose(heads.quaternion_rotations(tf.constant(mine)), rotations, atol=1e-12)


def test_bingham_of_angular_gaussian_has_the_same_mode_and_curvature(rng):
    matrices = random_symmetric(rng, 10) + 0.2 * np.eye(4)
    values, vectors = np.linalg.eigh(matrices)
    bingham = heads.bingham_of_angular_gaussian(tf.constant(matrices)).numpy()
    expected = -2.0 * (values[:, 1:] / values[:, :1] - 1.0)
    np.testing.assert_allclose(np.sort(dispersion_coefficients(bingham)), np.sort(expected))
    # Curvature of log p = -2 log(q^T A q) along the second eigenvector, at the mode.
    mode, other, step = vectors[:, :, 0], vectors[:, :, 1], 1e-3

    def log_density(q):
        return -2 * np.log(np.einsum("bi,bij,bj->b", q, matrices, q))

    moved = np.cos(step) * mode + np.sin(step) * other
    np.testing.assert_allclose(
        (log_density(moved) - log_density(mode)) / step**2, expected[:, 0], rtol=1e-2
    )
