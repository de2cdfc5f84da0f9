"""Registration over O(4): known transforms, both signs of the determinant, few particles, noise,
outliers.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.evaluation.orthogonal4 import register_orthogonal4
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import euler_uniform, preferred, random_rotations


def moved(rotations, inverted, rng):
    left, right = random_rotations(2, rng)
    return left @ (np.swapaxes(rotations, 1, 2) if inverted else rotations) @ right


def turned_at_random(rotations, sigma_rad, rng):
    return (
        Rotation.from_rotvec(sigma_rad * rng.standard_normal((len(rotations), 3))).as_matrix()
        @ rotations
    )


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("number", [1, 2, 5, 12, 400])
def test_a_known_transform_is_taken_out(rng, number, inverted):
    truth = random_rotations(number, rng)
    estimate = moved(truth, inverted, rng)
    found = register_orthogonal4(estimate, truth)
    assert angular_distance_rad(found.apply(estimate), truth).max() < 1e-6
    assert found.mean_residual_rad < 1e-6
    np.testing.assert_allclose(found.matrix @ found.matrix.T, np.eye(4), atol=1e-12)
    if number > 4:
        assert found.inverted == inverted


@pytest.mark.parametrize(
    "orientations",
    [random_rotations, euler_uniform, lambda n, rng: preferred(n, rng, np.eye(3)[2:], 30.0)],
)
def test_noise_is_left_and_nothing_else(rng, orientations):
    truth = orientations(1000, rng)
    noisy = turned_at_random(truth, 0.3, rng)
    expected = angular_distance_rad(noisy, truth).mean()
    for inverted in (False, True):
        found = register_orthogonal4(moved(noisy, inverted, rng), truth)
        assert 0.97 * expected < found.mean_residual_rad <= expected + 1e-3
        assert found.inverted == inverted


def test_outliers_do_not_move_it(rng):
    truth = random_rotations(600, rng)
    estimate = moved(turned_at_random(truth, 0.05, rng), True, rng)
    estimate[:200] = random_rotations(200, rng)
    found = register_orthogonal4(estimate, truth)
    assert angular_distance_rad(found.apply(estimate), truth)[200:].mean() < 0.09


def test_unrelated_rotations_score_badly(rng):
    assert (
        register_orthogonal4(
            random_rotations(500, rng), random_rotations(500, rng)
        ).mean_residual_rad
        > 1.8
    )


def test_unequal_numbers_are_refused(rng):
    with pytest.raises(ValueError, match="2 and 3"):
        register_orthogonal4(random_rotations(2, rng), random_rotations(3, rng))
