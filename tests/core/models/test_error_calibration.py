"""Laws of errors: what they say of poses whose errors are drawn from them, and what is refused."""

import copy

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.models.error_calibration import (
    QUANTILES,
    ErrorCalibration,
    ErrorLaw,
    calibrated_covariance,
    features_of,
)


def law(snr=0.1, wrong=(-2.0, 1.0, 0.0), basin=(4.0, 0.0, 1.0), level=0.9):
    """Errors that are evenly distributed up to sqrt(3) times their root mean square, and a
    probability that is a straight line from 0 at -10 to 1 at 10.
    """
    ratio = np.sqrt(3.0) * QUANTILES
    arrays = [np.array(a) for a in (wrong, basin, (9.0, 0.0, 0.0))]
    line = 20 * QUANTILES - 10, QUANTILES
    return ErrorLaw(snr, *arrays, *line, ratio, ratio, np.full(2, -4.0), np.full(2, 4.0), level)


def test_probability_errors_and_bound_by_hand():
    found = law().expected(np.array([[0.0, 1.0]]))
    wrong = (-2.0 + 10.0) / 20.0
    assert found.wrong[0] == pytest.approx(wrong)
    assert found.basin_deg[0] == pytest.approx(np.exp(2.5))
    square = (1 - wrong) * np.exp(5.0) + wrong * np.exp(9.0)
    assert found.error_deg[0] == pytest.approx(np.sqrt(square))

    # 0.9 = (1 - w) + w b / (sqrt(3) e^4.5), beyond the largest error of right poses
    expected = np.sqrt(3) * np.exp(4.5) * (0.9 - (1 - wrong)) / wrong
    assert np.sqrt(3) * np.exp(2.5) < expected < 180
    assert found.bound_deg[0] == pytest.approx(expected, abs=1e-3)


def test_features_beyond_the_range_are_moved_into_it():
    inside, outside = (law().expected(np.array([[x, 0.0]])).wrong[0] for x in (4.0, 40.0))
    assert inside == outside


def test_interpolation_is_in_the_logarithm_of_the_snr():
    calibration = ErrorCalibration(20.0, (law(0.1), law(0.4, wrong=(0.0, 1.0, 0.0))))
    assert calibration.at(0.2).wrong[0] == pytest.approx(-1.0)
    assert calibration.at(0.1 / 1.1).wrong[0] == pytest.approx(-2.0)
    assert calibration.at(0.05) is None
    assert calibration.at(0.5) is None


def test_one_law_holds_near_its_snr():
    calibration = ErrorCalibration(20.0, (law(0.1),))
    assert calibration.at(0.11).basin[0] == pytest.approx(4.0)
    assert calibration.at(0.13) is None


def test_it_comes_back_from_json():
    calibration = ErrorCalibration(20.0, (law(0.1), law(0.2)))
    back = ErrorCalibration.from_dict(calibration.to_dict(), "It", "train again")
    assert back.to_dict() == calibration.to_dict()


def changed(values, path, value):
    values = copy.deepcopy(values)
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return values


@pytest.mark.parametrize(
    "path, value, sentence",
    [
        (("basin_deg",), "20", "It: basin_deg is '20', which is not a number"),
        (("laws",), [], r"It: laws is \[\], not a list of 1 to 16"),
        (("laws", 0), 3, "It: law 1 is 3, not a table"),
        (("laws", 0, "snr"), -1, "It: law 1: snr is -1 and must be at least"),
        (("laws", 0, "snr"), 0.3, "It: the SNRs of the laws do not ascend"),
        (("laws", 1, "wrong"), [1, 2], "It: law 2: wrong is not a list of 3 numbers"),
        (("laws", 1, "basin"), [1, 2, None], "It: law 2: basin is None, which is not a number"),
        (("laws", 0, "basin_ratio"), [1.0] * 40 + [0.5], "basin_ratio does not ascend"),
        (("laws", 0, "probability"), [0.0] * 40 + [1.5], "probability leaves 0 to 1"),
        (("laws", 0, "lowest"), [5, 5], "It: law 1: lowest is above highest"),
    ],
)
def test_what_is_no_calibration(path, value, sentence):
    values = ErrorCalibration(20.0, (law(0.1), law(0.2))).to_dict()
    with pytest.raises(InputError, match=sentence):
        ErrorCalibration.from_dict(changed(values, path, value), "It", "train again")


def test_covariances_keep_their_shape(rng):
    half = rng.standard_normal((4, 3, 3))
    given = half @ np.swapaxes(half, 1, 2)
    found = calibrated_covariance(given, np.array([1.0, 2.0, 3.0, 4.0]))
    root = np.rad2deg(np.sqrt(np.trace(found, axis1=1, axis2=2)))
    np.testing.assert_allclose(root, [1, 2, 3, 4])
    np.testing.assert_allclose(found[2] / found[2, 0, 0], given[2] / given[2, 0, 0])


def test_features_are_finite_at_the_ends():
    assert np.isfinite(features_of(np.zeros((2, 3, 3)), np.array([0.0, 1.0]))).all()
