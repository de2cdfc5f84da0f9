"""The laws of errors, found on errors that are drawn from a known law."""

import numpy as np
import pytest

from cryoposes_plugin.core.models.error_calibration import features_of
from cryoposes_plugin.core.models.pose_model import Prediction
from cryoposes_plugin.core.training.error_laws import basin_of, fit_error_law

N, BASIN = 60_000, 30.0
IDENTITY = np.eye(3)[None]


def prediction(rng):
    """Uncertainties of all sizes; poses and Bingham matrices take no part."""
    elsewhere = 1 / (1 + np.exp(-rng.normal(-1.0, 2.0, N)))
    covariance = np.exp(rng.normal(-3.0, 0.5, N))[:, None, None] / 3 * np.eye(3)
    nothing = np.zeros((N, 4, 4))
    return Prediction(nothing[:, :3, :3], nothing, None, covariance, elsewhere)


def drawn(given, rng):
    """Errors of a law with w = logistic(-1 + 0.8 f1), s^2 = exp(5 + 0.5 f2) and 100° elsewhere."""
    f1, f2 = features_of(given.covariance, given.elsewhere).T
    probability = 1 / (1 + np.exp(1.0 - 0.8 * f1))
    wrong = rng.uniform(size=N) < probability
    sigma = np.exp(0.5 * (5.0 + 0.5 * f2))
    right_error = sigma * np.linalg.norm(rng.normal(size=(N, 3)), axis=1) / np.sqrt(3)
    return np.where(wrong, rng.uniform(60, 140, N), right_error), probability, sigma


def test_the_law_of_the_draws_is_found(rng):
    given = prediction(rng)
    error, _, _ = drawn(given, rng)
    law = fit_error_law(given, error, BASIN, 0.1)
    np.testing.assert_allclose(law.wrong[1:], [0.8, 0.0], atol=0.1)
    np.testing.assert_allclose(law.basin, [5.0, 0.0, 0.5], atol=0.1)

    fresh = prediction(rng)
    error, probability, sigma = drawn(fresh, rng)
    expected = law.expected(features_of(fresh.covariance, fresh.elsewhere))
    assert (error <= expected.bound_deg).mean() == pytest.approx(0.9, abs=0.01)
    assert np.abs(expected.wrong - probability).mean() < 0.01
    square = (1 - probability) * sigma**2 + probability * (60**2 + 60 * 140 + 140**2) / 3
    for rows in np.array_split(np.argsort(expected.error_deg), 10):
        root = np.sqrt(np.mean(square[rows]))
        assert np.sqrt(np.mean(expected.error_deg[rows] ** 2)) == pytest.approx(root, rel=0.08)


def test_without_wrong_poses_they_are_rare(rng):
    given = prediction(rng)
    error = np.minimum(drawn(given, rng)[2] * rng.uniform(0, 1.7, N), BASIN)
    expected = fit_error_law(given, error, BASIN, 0.1).expected(np.zeros((1, 2)))
    assert expected.wrong[0] < 1e-3
    assert expected.basin_deg[0] < BASIN


@pytest.mark.parametrize("median, basin", [(1.0, 10.0), (8.0, 24.0), (60.0, 40.0)])
def test_the_basin_follows_the_median_within_limits(median, basin):
    assert basin_of(np.array([0.0, median, 180.0]), IDENTITY) == pytest.approx(basin)
