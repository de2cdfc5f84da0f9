"""Registration of two pose sets: known rotations, noise, outliers, symmetry, hand; and the errors
that follow.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.conventions import opposite_hand
from cryoposes_plugin.core.evaluation.errors import (
    angular_errors_deg,
    shift_errors_angstrom,
    summarise_angles,
    summarise_shifts,
)
from cryoposes_plugin.core.evaluation.registration import register
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.geometry.symmetry import symmetric_distance_rad, symmetry_rotations

TURN = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()
C1 = symmetry_rotations("C1")


def noisy(rotations, sigma_deg, rng):
    return (
        Rotation.from_rotvec(
            np.deg2rad(sigma_deg) * rng.standard_normal((len(rotations), 3))
        ).as_matrix()
        @ rotations
    )


@pytest.mark.parametrize("number", [1, 2, 300])
def test_a_known_rotation_is_found_exactly(rng, number):
    truth = random_rotations(number, rng)
    found = register(truth @ TURN.T, truth, C1)
    assert angular_distance_rad(found.rotation, TURN) < 1e-9
    assert angular_errors_deg(found.apply(truth @ TURN.T), truth, C1).max() < 1e-6
    assert found.hand == "same"
    assert found.angle_deg == pytest.approx(np.rad2deg(np.linalg.norm([0.3, -0.5, 0.2])))


def test_noise_averages_out(rng):
    truth = random_rotations(2000, rng)
    found = register(noisy(truth, 10, rng) @ TURN.T, truth, C1)
    assert np.rad2deg(angular_distance_rad(found.rotation, TURN)) < 1.0


@pytest.mark.parametrize("symmetry", ["C1", "C4", "D2", "O"])
def test_outliers_and_random_representatives_do_not_move_it(rng, symmetry):
    group = symmetry_rotations(symmetry)
    truth = random_rotations(600, rng)
    estimate = noisy(truth, 2, rng) @ group[rng.integers(len(group), size=600)] @ TURN.T
    estimate[:240] = random_rotations(240, rng)
    found = register(estimate, truth, group)
    turn = symmetric_distance_rad(found.rotation[None], TURN[None], group)[0]
    assert np.rad2deg(turn) < 0.5
    assert np.median(
        angular_errors_deg(found.apply(estimate), truth, group)[240:]
    ) == pytest.approx(3.1, abs=0.5)


def test_without_the_symmetry_the_same_poses_score_badly(rng):
    truth = random_rotations(400, rng)
    group = symmetry_rotations("C4")
    estimate = truth @ group[rng.integers(4, size=400)]
    assert np.mean(angular_errors_deg(estimate, truth, C1) > 80) > 0.6
    assert angular_errors_deg(estimate, truth, group).max() < 1e-5


def test_the_smallest_of_the_equal_rotations_is_given(rng):
    group = symmetry_rotations("D7")
    truth = random_rotations(50, rng)
    assert register(truth @ group[9], truth, group).angle_deg < 1e-5


def test_hand(rng):
    truth = random_rotations(300, rng)
    estimate = opposite_hand(truth @ TURN.T)
    found = register(estimate, truth, C1, hands=("same", "opposite"))
    assert found.hand == "opposite"
    assert angular_errors_deg(found.apply(estimate), truth, C1).max() < 1e-5
    kept = register(estimate, truth, C1)
    assert np.median(angular_errors_deg(kept.apply(estimate), truth, C1)) > 30
    assert register(truth @ TURN.T, truth, C1, hands=("same", "opposite")).hand == "same"


def test_errors_have_units():
    truth = np.eye(3)[None].repeat(4, axis=0)
    estimate = Rotation.from_rotvec(
        np.deg2rad([[1, 0, 0], [0, 2, 0], [0, 0, 4], [0, 40, 0]])
    ).as_matrix()
    summary = summarise_angles(angular_errors_deg(estimate, truth, C1))
    assert summary["median_angular_error_deg"] == pytest.approx(3)
    assert summary["mean_angular_error_deg"] == pytest.approx(11.75)
    assert summary["p90_angular_error_deg"] == pytest.approx(np.percentile([1, 2, 4, 40], 90))
    assert summary["share_below_5_deg"] == 0.75
    shifts = shift_errors_angstrom([[3.0, 0], [1, 1]], [2.0, 2.0], [[0.0, 4], [2, 2]], [2.0, 1.0])
    np.testing.assert_allclose(shifts, [10.0, 0.0])
    assert summarise_shifts(shifts)["mean_shift_error_angstrom"] == 5


def test_unequal_numbers_are_refused(rng):
    with pytest.raises(ValueError, match="2 and 3"):
        register(random_rotations(2, rng), random_rotations(3, rng), C1)
