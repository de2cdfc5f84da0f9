"""Whether a set is like its twin, on normal distributions whose area is known."""

import numpy as np
import pytest
from scipy.stats import norm

pytest.importorskip("sklearn")

from cryoposes_plugin.core.trust.twin_test import compared_with_twin


def drawn(number, middle, seed):
    return np.random.default_rng(seed).standard_normal((number, 3)) + [middle, 0.0, 0.0]


@pytest.mark.parametrize("middle", [0.0, 1.0, 2.0])
def test_the_area_is_that_of_the_two_distributions(middle):
    found = compared_with_twin(drawn(1500, middle, 1), drawn(1000, 0.0, 2), np.ones(1000), seed=0)
    assert found.area == pytest.approx(norm.cdf(middle / np.sqrt(2)), abs=0.035)


def test_a_set_that_is_far_from_its_twin_is_unlike_it():
    assert compared_with_twin(drawn(300, 3.0, 1), drawn(300, 0.0, 2), np.ones(300), seed=0).unlike


def test_a_set_that_is_much_larger_than_its_twin_is_like_it():
    found = compared_with_twin(drawn(30000, 0.0, 1), drawn(400, 0.0, 2), np.ones(400), seed=0)
    assert found.area == pytest.approx(0.5, abs=0.05)


def test_images_of_the_twin_count_as_often_as_they_stand_for_images_of_the_set():
    """The half of the twin that is elsewhere stands for nothing."""
    twin = np.concatenate([drawn(400, 0.0, 2), drawn(400, 4.0, 3)])
    weight = np.repeat([1.0, 1e-9], 400)
    assert compared_with_twin(drawn(800, 0.0, 1), twin, weight, seed=0).area < 0.56


def test_a_few_images_show_nothing():
    assert (
        compared_with_twin(drawn(49, 3.0, 1), drawn(300, 0.0, 2), np.ones(300), seed=0).area == 0.5
    )
