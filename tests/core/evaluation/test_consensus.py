"""The consensus of several sets: its mean and chi-square against closed forms and drawn errors."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.conventions import opposite_hand
from cryoposes_plugin.core.evaluation.consensus import PoseSet, consensus, in_frame_of
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.particles.hand import covariance_of_other_hand

NUMBER = 2000
ONE = np.eye(3)[None]


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(2)
    return random_rotations(NUMBER, rng), rng.normal(0, 3, (NUMBER, 2))


def covariances(rng, scale):
    """(N, 5, 5) of errors of about 0.01 rad and 0.5 Å, with correlations."""
    factor = np.eye(5) + 0.4 * rng.standard_normal((NUMBER, 5, 5))
    factor *= scale * np.array([0.01, 0.01, 0.01, 0.5, 0.5])[:, None]
    return factor @ np.swapaxes(factor, 1, 2)


def estimate(truth, covariance, rng, errors=None):
    """Poses with errors of this covariance."""
    if errors is None:
        errors = np.einsum(
            "nij,nj->ni", np.linalg.cholesky(covariance), rng.standard_normal((NUMBER, 5))
        )
    turn = Rotation.from_rotvec(errors[:, :3]).as_matrix()
    return PoseSet(turn @ truth[0], truth[1] + errors[:, 3:], covariance)


def errors_of(poses, truth):
    turn = Rotation.from_matrix(poses.rotations @ np.swapaxes(truth[0], 1, 2)).as_rotvec()
    return np.concatenate([turn, poses.shifts_angstrom - truth[1]], axis=1)


def test_chi_square_and_mean_of_independent_errors_follow_their_laws(truth, rng):
    sets = [estimate(truth, covariances(rng, s), rng) for s in (1.0, 0.7, 2.0)]
    found = consensus(sets, ONE, shared=False)
    assert found.degrees == (10, 6, 4)
    assert stats.kstest(found.chi_square, stats.chi2(10).cdf).pvalue > 1e-3

    # The mean's own errors in units of its covariance.
    left = errors_of(found.mean, truth)
    squares = np.einsum("ni,nij,nj->n", left, np.linalg.inv(found.mean.covariance), left)
    assert stats.kstest(squares, stats.chi2(5).cdf).pvalue > 1e-3
    share = 1 - found.agree(2.0).mean()
    assert share == pytest.approx(2 * stats.norm.sf(2.0), abs=0.015)


def test_mean_of_two_is_that_of_the_normal_equations(truth, rng):
    covariance = [covariances(rng, 1e-3), covariances(rng, 2e-3)]
    sets = [estimate(truth, c, rng) for c in covariance]
    first, second = (np.linalg.inv(c) for c in covariance)
    x, y = (errors_of(poses, truth) for poses in sets)
    summed = np.einsum("nij,nj->ni", first, x) + np.einsum("nij,nj->ni", second, y)
    expected = np.linalg.solve(first + second, summed[..., None])[..., 0]
    found = consensus(sets, ONE, shared=True)
    np.testing.assert_allclose(errors_of(found.mean, truth), expected, atol=1e-7)
    harmonic = 2 * np.linalg.inv(first + second)
    np.testing.assert_allclose(found.mean.covariance, harmonic, rtol=1e-6, atol=1e-18)


def test_poses_that_differ_are_told_with_what_differs(truth, rng):
    covariance = covariances(rng, 1.0)
    right = estimate(truth, covariance, rng)
    turned, moved = np.zeros((NUMBER, 5)), np.zeros((NUMBER, 5))
    turned[:100, 1], moved[100:200, 4] = 1.0, 40.0
    other = estimate(truth, covariance, rng, errors=turned + moved)
    found = consensus([right, other], ONE, shared=True)
    agree = found.agree(3.0)
    assert not agree[:200].any()
    assert agree[200:].mean() > 0.98
    assert found.rotations_differ_more[:100].mean() > 0.95
    assert not found.rotations_differ_more[100:200].any()


def test_symmetry_mates_agree_and_the_most_certain_is_best(truth, rng):
    group = symmetry_rotations("D3")
    covariance = covariances(rng, 0.2)
    first = estimate(truth, 4 * covariance, rng)
    mates = first.rotations @ group[rng.integers(0, len(group), NUMBER)]
    second = PoseSet(mates, first.shifts_angstrom, covariance)
    found = consensus([first, second], group, shared=True)
    assert found.chi_square.max() < 1e-9
    assert (found.best == 1).all()


def test_unknown_shifts_are_not_compared(truth, rng):
    covariance = covariances(rng, 1.0)
    unknown = covariance.copy()
    unknown[:, 3:] = unknown[:, :, 3:] = 0
    first = estimate(truth, covariance, rng)
    second = PoseSet(first.rotations, first.shifts_angstrom + 100, unknown)
    found = consensus([first, second], ONE, shared=True)
    assert found.degrees == (3, 3, 0)
    assert found.agree(3.0).all()
    np.testing.assert_allclose(found.mean.shifts_angstrom, first.shifts_angstrom, atol=1e-9)


@pytest.mark.parametrize("hand", ["same", "opposite"])
def test_a_set_of_another_frame_is_brought_back(truth, rng, hand):
    covariance = covariances(rng, 1.0)
    first = estimate(truth, covariance, rng)
    turn, displacement = random_rotations(1, rng)[0], np.array([4.0, -7.0, 2.0])
    rotations = first.rotations @ turn.T
    shifts = first.shifts_angstrom - (first.rotations[:, :2] @ displacement)
    other = PoseSet(rotations, shifts, covariance)
    if hand == "opposite":
        other = PoseSet(opposite_hand(rotations), shifts, covariance_of_other_hand(covariance))

    moved, found, back = in_frame_of(first, other, ONE, with_hand=True, seed=0)
    assert found.hand == hand
    assert angular_distance_rad(moved.rotations, first.rotations).max() < 1e-6
    np.testing.assert_allclose(back, displacement, atol=1e-3)
    np.testing.assert_allclose(moved.shifts_angstrom, first.shifts_angstrom, atol=0.02)
    np.testing.assert_allclose(moved.covariance, covariance)
