"""Junk of sets of unknown composition, on mixtures whose probabilities are known in closed form."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("tensorflow")
from scipy.stats import norm

from cryoposes_plugin.core.image_kinds import NOISE
from cryoposes_plugin.core.trust.bulk import Bulk
from cryoposes_plugin.core.trust.image_statistics import IMAGE_COLUMNS, Statistics, statistics_of
from cryoposes_plugin.core.trust.own_decoys import KINDS
from cryoposes_plugin.core.trust.unlabelled import (
    HiddenJunk,
    Mixture,
    junk_of_unlabelled,
)


def drawn(numbers, rng):
    """Scores of particles, mean 0, and of two kinds of junk."""
    means = np.repeat([0.0, 5.0, 10.0], numbers)
    return means + rng.standard_normal(len(means)), means > 0


@pytest.fixture(scope="module")
def mixed():
    rng = np.random.default_rng(1)
    scores, junk = drawn([1400, 400, 200], rng)
    return scores, junk, Mixture(scores, drawn([0, 100, 100], rng)[0], 0)


def test_the_share_of_junk_is_that_of_the_set_and_not_of_the_decoys(mixed):
    assert mixed[2].share == pytest.approx(0.3, abs=0.015)


def test_probabilities_are_those_of_the_densities(mixed):
    scores, _, mixture = mixed
    particles, junk = (
        0.7 * norm.pdf(scores),
        0.2 * norm.pdf(scores - 5) + 0.1 * norm.pdf(scores - 10),
    )
    assert np.abs(mixture.probability(scores) - junk / (particles + junk)).mean() < 0.01


def test_a_set_without_junk_has_none():
    rng = np.random.default_rng(2)
    scores = rng.standard_normal(1000)
    assert Mixture(scores, 6 + rng.standard_normal(200), 0).share == 0.0


def test_a_broad_set_of_particles_is_not_junk():
    """Two normal distributions, both nearer to the particles than the decoys are."""
    rng = np.random.default_rng(3)
    scores = np.concatenate([rng.standard_normal(700), 2.5 + rng.standard_normal(300)])
    assert Mixture(scores, 12 + rng.standard_normal(200), 0).share == 0.0


def test_broad_junk_is_not_expected_below_the_particles():
    """Its density exceeds theirs far below; a running maximum would carry that to all images."""
    rng = np.random.default_rng(10)
    scores = np.concatenate([rng.standard_normal(1800), 4 + 4 * rng.standard_normal(200)])
    mixture = Mixture(scores, 6 + 2 * rng.standard_normal(300), 0)
    assert mixture.share == pytest.approx(0.1, abs=0.04)
    probability = mixture.probability(np.linspace(-8, 12, 50))
    assert (np.diff(probability) >= 0).all()
    assert mixture.probability(np.array([-6.0, 0.0])).max() < 0.06
    assert mixture.probability(np.array([8.0]))[0] > 0.99


def test_junk_that_looks_like_particles_is_counted_by_its_decoys():
    """A fifth of such junk scores like particles: for 120 that are seen, 30 are hidden."""

    def normal(number, mean):
        return norm.ppf((np.arange(number) + 0.5) / number, mean)

    scores = np.concatenate([normal(1370, 0.0), normal(30, 0.5), normal(120, 8.0)])
    decoys = np.concatenate([normal(100, 0.5), normal(400, 8.0)])
    found = HiddenJunk(scores, 4.0, {"overlap": decoys}, {"overlap": 120.0})
    probability = found.probability(scores[:1400])
    assert probability.sum() == pytest.approx(30, rel=0.05)
    # where the densities say
    for low, high in ((-3, 0), (0, 1), (1, 2)):
        true = 30 * np.diff(norm.cdf([low, high], 0.5))[0]
        true /= true + 1370 * np.diff(norm.cdf([low, high]))[0]
        near = (scores[:1400] > low) & (scores[:1400] < high)
        assert probability[near].mean() == pytest.approx(true, rel=0.35)
    # nothing is hidden where nothing is seen
    assert (
        not HiddenJunk(scores, 4.0, {"overlap": decoys}, {"overlap": 0.0}).probability(scores).any()
    )


def statistics(middle, rng, number=400):
    """Statistics whose columns are normal about `middle`."""
    return Statistics(
        rng.random(number),
        middle + rng.standard_normal((number, 6)),
        middle + rng.standard_normal((number, 27)),
        middle + rng.standard_normal((number, 5)),
    )


def test_decoys_like_the_set_are_not_told():
    rng = np.random.default_rng(4)
    decoys, kind = statistics(0.0, rng, 6 * 80), np.repeat(KINDS, 80)
    found = junk_of_unlabelled(statistics(0.0, rng), decoys, kind, 0)
    assert found.told[NOISE] == pytest.approx(0.5, abs=0.15) and not found.can_tell
    assert found.surer == pytest.approx(0.5, abs=0.1) and not found.network_is_surer


def test_decoys_unlike_the_set_are_told():
    rng = np.random.default_rng(5)
    decoys, kind = statistics(3.0, rng, 6 * 80), np.repeat(KINDS, 80)
    found = junk_of_unlabelled(statistics(0.0, rng), decoys, kind, 0)
    assert found.can_tell and found.not_told == [] and found.surer > 0.95


def test_the_bulk_is_not_moved_by_outliers():
    rng = np.random.default_rng(6)
    values = rng.standard_normal((600, 3))
    values[:180] += 12.0
    near = Bulk(values, np.zeros(600)).log_distance(np.array([[0.0] * 3, [12.0] * 3]), np.zeros(2))
    assert near[0] < np.log(0.5) and near[1] > np.log(100)


def test_distances_are_relative_to_defocus():
    rng = np.random.default_rng(7)
    defocus = rng.uniform(0.5, 3.0, 500)
    values = (defocus**2)[:, None] + 0.1 * rng.standard_normal((500, 2))
    bulk = Bulk(values, defocus)
    right, wrong = bulk.log_distance(np.array([[4.0, 4.0]] * 2), np.array([2.0, 1.0]))
    assert right < np.log(5) and wrong > np.log(100)


def test_statistics_are_put_together_and_taken_apart():
    images = np.random.default_rng(8).standard_normal((3, 32, 32))
    found = statistics_of(images, np.ones((32, 32)), np.arange(3.0), np.ones((3, 5)))
    joined = found.joined()
    assert joined.shape == (3, IMAGE_COLUMNS + 5)
    for part, again in zip(found, Statistics.split(joined)):
        np.testing.assert_array_equal(part, again)


def test_statistics_do_not_change_by_a_quarter_turn():
    y, x = np.indices((33, 33)) - 16
    image = np.exp(-((x - 3) ** 2 + y**2 / 2) / 20.0)[None]
    a, b = (
        statistics_of(i, np.ones((33, 33)), None, np.zeros((1, 1))).joined()
        for i in (image, np.rot90(image, axes=(1, 2)))
    )
    np.testing.assert_allclose(a, b, atol=1e-6)
