"""Junk told from features, on mixtures whose probabilities are known in closed form."""

import numpy as np
import pytest
from scipy.stats import norm

pytest.importorskip("sklearn")

from cryoposes_plugin.core.evaluation.selection import accept_at_rate
from cryoposes_plugin.core.image_kinds import NOISE, OVERLAP, PARTICLE
from cryoposes_plugin.core.trust.junk import WRONG_POSE, JunkClassifier

#: Means of the two features of each class; all have unit variance.
MEANS = {PARTICLE: (0.0, 0.0), NOISE: (-3.0, 0.0), OVERLAP: (0.0, 3.0)}


def drawn(numbers, seed):
    rng = np.random.default_rng(seed)
    kind = np.repeat(list(numbers), list(numbers.values()))
    return np.array([MEANS[k] for k in kind]) + rng.standard_normal((len(kind), 2)), kind


@pytest.fixture(scope="module")
def classifier():
    return JunkClassifier(*drawn({PARTICLE: 400, NOISE: 150, OVERLAP: 150}, 0), seed=0)


@pytest.fixture(scope="module")
def judged(classifier):
    features, kind = drawn({PARTICLE: 1600, NOISE: 300, OVERLAP: 100}, 1)
    return features, kind, classifier.estimate(features)


def posterior(features):
    """Probability of junk in the set of `judged`."""
    density = {
        k: norm.pdf(features[:, 0] - m[0]) * norm.pdf(features[:, 1] - m[1])
        for k, m in MEANS.items()
    }
    junk = 0.15 * density[NOISE] + 0.05 * density[OVERLAP]
    return junk / (junk + 0.8 * density[PARTICLE])


@pytest.mark.parametrize("kind, share", [(PARTICLE, 0.8), (NOISE, 0.15), (OVERLAP, 0.05)])
def test_shares_of_the_kinds_are_those_of_the_set_and_not_of_the_decoys(judged, kind, share):
    assert judged[2].shares[kind] == pytest.approx(share, abs=0.035)


def test_probabilities_are_near_those_of_the_densities(judged):
    features, _, estimate = judged
    assert np.abs(estimate.probability - posterior(features)).mean() < 0.035


def test_the_sum_of_the_probabilities_is_the_number_of_junk_images(judged):
    assert judged[2].probability.sum() == pytest.approx(400, rel=0.15)


def test_a_set_without_junk_has_hardly_any(classifier):
    features, _ = drawn({PARTICLE: 1000}, 2)
    assert classifier.estimate(features).probability.mean() < 0.02


def test_decoys_are_judged_by_what_did_not_learn_from_them(judged):
    """Their scores are those of junk in the set, some of which looks like particles."""
    _, kind, estimate = judged
    of_decoys = estimate.twin_probability[estimate.twin_kind == NOISE]
    of_set = estimate.probability[kind == NOISE]
    assert (of_decoys < 0.5).mean() == pytest.approx((of_set < 0.5).mean(), abs=0.08)


def test_wrong_poses_are_told_from_junk():
    rng = np.random.default_rng(3)
    kind = np.repeat([PARTICLE, WRONG_POSE, NOISE], [300, 60, 120])
    middle = {PARTICLE: (0, 0), WRONG_POSE: (-4, 4), NOISE: (-8, 0)}
    features = np.array([middle[k] for k in kind]) + rng.standard_normal((len(kind), 2))
    estimate = JunkClassifier(features, kind, seed=0).estimate(features[kind == WRONG_POSE])
    assert np.median(estimate.wrong_pose) > 0.9


def test_an_image_unlike_any_particle_may_show_one_at_a_wrong_pose(judged):
    """One particle in 400 looks like nothing in the twin; one in 1,000 noise images is a particle."""
    _, kind, estimate = judged
    assert estimate.wrong_pose[kind == NOISE].max() > 0.03


def test_a_good_particle_is_not_suspected_of_a_wrong_pose(judged):
    _, kind, estimate = judged
    assert np.median(estimate.wrong_pose[kind == PARTICLE]) < 1e-6


def test_false_discovery_rate_is_the_mean_probability_of_what_is_kept():
    probability = np.array([0.5, 0.0, 0.1])
    # the rates at which each of them is just kept
    for rate, kept in ((0.2, [1, 1, 1]), (0.0, [0, 1, 0]), (0.05, [0, 1, 1])):
        np.testing.assert_array_equal(accept_at_rate(probability, rate), kept)
