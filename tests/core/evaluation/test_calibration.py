"""Calibration: closed forms of errors whose law is known, and brute-force counts."""

import numpy as np
import pytest
from scipy import stats

from cryoposes_plugin.core.evaluation import calibration

N = 20000


@pytest.fixture
def sigma(rng):
    return np.exp(rng.normal(0, 0.5, N))


@pytest.fixture
def errors(sigma, rng):
    """Of which `sigma` is the root mean square: three normal components."""
    return sigma * np.linalg.norm(rng.normal(0, 1 / np.sqrt(3), (N, 3)), axis=1)


def test_right_expected_errors_have_ratio_one(sigma, errors):
    found = calibration.error_reliability(sigma, errors)
    assert len(found.ratio) == 10
    np.testing.assert_allclose(found.ratio, 1, atol=0.05)
    assert not found.wrong_bins(0.1).any()


def test_expected_errors_that_are_too_small_are_found_by_their_factor(sigma, errors):
    found = calibration.error_reliability(sigma / 1.5, errors)
    np.testing.assert_allclose(found.ratio, 1.5, rtol=0.05)
    assert found.wrong_bins(0.1).all()


def test_standard_error_of_a_bin_is_that_of_chi(sigma, errors):
    found = calibration.error_reliability(np.ones(N), errors / sigma)
    np.testing.assert_array_equal(found.number, [N])
    # Var(chi2_3 / 3) = 2 / 3, halved by the root.
    assert found.standard_error[0] == pytest.approx(np.sqrt(2 / 3 / N) / 2, rel=0.05)


def test_a_difference_that_chance_explains_is_no_verdict(sigma, errors):
    few = slice(0, 100)
    assert not calibration.error_reliability(1.15 * sigma[few], errors[few]).wrong_bins(0.1).any()


def test_right_bounds_cover_what_they_say(sigma, errors):
    bound = sigma * np.sqrt(stats.chi2(3).ppf(0.9) / 3)
    found = calibration.coverage(errors, bound)
    assert found.low < 0.9 < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.09 / N), rel=0.05)


def test_probabilities(rng):
    probability = rng.beta(0.5, 2, N)
    event = rng.random(N) < probability
    found = calibration.probability_reliability(probability, event)
    assert found.expected_calibration_error < 0.01
    assert calibration.brier_score(probability, event) == pytest.approx(
        np.mean(probability * (1 - probability)), abs=0.005
    )


def test_wrong_pose_of_a_particle_is_what_junk_leaves_of_it():
    wrong, junk = np.array([0.28, 0.1, 0.0, 0.4, 1.0]), np.array([0.1, 0.1, 0.0, 0.5, 1.0])
    of_particle = calibration.wrong_pose_of_particle(wrong, junk)
    np.testing.assert_allclose(of_particle, [0.2, 0.0, 0.0, 0.0, 1.0], atol=1e-12)


def test_equal_probabilities_are_in_one_bin():
    event = np.arange(100) >= 50
    found = calibration.probability_reliability(np.full(100, 0.5), event)
    np.testing.assert_array_equal(found.observed, [0.5])
    assert found.expected_calibration_error == 0


def test_areas_against_counts_of_pairs(rng):
    cost, good = np.round(rng.random(60), 1), rng.random(60) < 0.4
    pairs = cost[good][:, None] - cost[~good][None]
    roc, _ = calibration.ranking_areas(cost, good)
    assert roc == pytest.approx(np.mean(pairs < 0) + 0.5 * np.mean(pairs == 0))


def test_precision_recall_area_of_a_perfect_and_of_a_short_ranking():
    assert calibration.ranking_areas(np.arange(4), np.array([1, 1, 0, 0]))[1] == 1
    # Precision 1 at the first good particle, 2 / 3 at the second.
    assert calibration.ranking_areas(np.arange(3), np.array([1, 0, 1]))[1] == pytest.approx(5 / 6)


def test_areas_of_one_kind_are_unknown():
    assert np.isnan(calibration.ranking_areas(np.arange(3), np.ones(3))).all()


def test_sparsification_by_the_errors_themselves_is_the_oracle(errors, rng):
    assert calibration.sparsification(errors, errors).area == 0
    by_chance = calibration.sparsification(rng.random(N), errors)
    np.testing.assert_allclose(by_chance.kept / by_chance.kept[0], 1, atol=0.1)
    assert by_chance.area > 0.3


def test_chi_square_of_two_halves_with_known_covariances(rng):
    root = rng.normal(size=(N, 3, 3))
    first, second = root @ root.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (N, 3, 3))
    total = first + second
    difference = np.einsum("nij,nj->ni", np.linalg.cholesky(total), rng.normal(size=(N, 3)))
    right = calibration.chi_square(difference, total)
    assert right.inflation == pytest.approx(1, abs=0.02)
    assert right.tail_inflation == pytest.approx(1, abs=0.02)
    assert right.far_share == pytest.approx(0.001, abs=0.001)
    assert calibration.chi_square(difference, total / 4).inflation == pytest.approx(2, abs=0.04)
