"""Wrong labels are told by a mixture, from images whose labels are right, wrong, or of nothing."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.networks.polar import PolarArchitecture
from cryoposes_plugin.core.networks.rotation_grid import grid_rotations
from cryoposes_plugin.core.training import label_errors, objectives
from cryoposes_plugin.core.training.labels import PoseLabels

POLAR = PolarArchitecture(24, 9.0, bins=8, views=24, concentration=8.0)


def test_labels_agree_with_a_network_that_knows_nothing_as_random_ones_do(rng):
    targets = rng.dirichlet(np.ones(30), 4).astype(np.float32)
    found = label_errors.label_agreement(tf.zeros((4, 30)), tf.constant(targets))
    np.testing.assert_allclose(found, 1.0, rtol=1e-5)


def test_agreement_is_that_of_the_density_over_the_mates():
    """All of p on one of 10 orientations and the bump with it: 10 times as dense as a random label,
    and the nearest of two mates half of that.
    """
    logits = tf.constant(np.where(np.arange(10) == 3, 50.0, 0.0)[None], tf.float32)
    target = tf.one_hot([3], 10)
    assert float(label_errors.label_agreement(logits, target)[0]) == pytest.approx(10.0)
    assert float(label_errors.label_agreement(logits, target, 2)[0]) == pytest.approx(5.0)


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_the_share_of_wrong_labels_is_found(rng, share):
    """Agreements as of right labels with density f, and of wrong ones with density 1, on [0, 1]."""
    number = 20_000
    wrong = rng.uniform(size=number) < share
    place = np.where(wrong, rng.uniform(size=number), rng.beta(8.0, 1.0, number))
    agreement = tf.constant(8.0 * place**7, tf.float32)
    found = label_errors.share_of_wrong(agreement, tf.ones(number), tf.constant(0.1))
    assert float(found) == pytest.approx(share, abs=0.015)
    right = label_errors.probability_of_right(tf.fill((number,), 0.9), agreement).numpy()
    for low in (0.2, 0.5, 0.8):
        part = (right > low) & (right < low + 0.15)
        assert right[part].mean() == pytest.approx(1 - wrong[part].mean(), abs=0.05)


def test_truth_and_junk_are_not_put_in_doubt():
    trust = tf.constant([1.0, 0.0, 0.9])
    right = label_errors.probability_of_right(trust, tf.constant([0.0, 9.0, 1e6])).numpy()
    np.testing.assert_allclose(right, [1.0, 0.0, 1.0], atol=1e-4)


def _gradients(trust, label_errors_choice="estimated"):
    """Squared gradient of the loss with respect to each image's outputs; the network is certain of
    the first orientations of the grid, and the label of image 1 is another one.
    """
    grid = grid_rotations(POLAR.bins, POLAR.views)
    labels = grid[[0, 50, 2, 3]]
    recipe = SimpleNamespace(
        label_errors=label_errors_choice, distance_weight=0.0, pair_sampling="random"
    )
    objective = objectives.polar_objective(recipe, POLAR, None, 1.0)
    logits = 20.0 * np.eye(len(grid), dtype=np.float32)[[0, 1, 2, 3]]
    outputs = {
        "matrix": tf.constant(grid[[0, 1, 2, 3]] * 0.9),
        "bingham": tf.eye(4, batch_shape=[4]),
        "grid": tf.constant(logits),
        "shift": tf.ones((4, 2)),
    }
    truth = PoseLabels(tf.constant(labels), tf.zeros((4, 2)), tf.ones(4), tf.constant(trust))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = objective(outputs, truth, tf.constant(0.5))[0]
    gradients = tape.gradient(loss, outputs)
    return {
        name: (g.numpy().reshape(4, -1) ** 2).sum(axis=1)
        for name, g in gradients.items()
        if g is not None
    }


def test_a_label_that_contradicts_the_network_teaches_nothing():
    trusted = _gradients([1.0, 1.0, 1.0, 1.0])
    doubtful = _gradients([0.9, 0.9, 0.9, 0.9])
    for name in ("matrix", "shift", "grid"):
        assert trusted[name][1] > 0.0
        assert doubtful[name][1] < 1e-3 * trusted[name][1]
        assert doubtful[name][0] > 0.5 * trusted[name][0]
    ignored = _gradients([0.9, 0.9, 0.9, 0.9], "none")
    np.testing.assert_allclose(ignored["matrix"], trusted["matrix"], rtol=1e-5)


def test_junk_teaches_the_classifier_alone_that_all_orientations_are_alike():
    found = _gradients([1.0, 0.0, 1.0, 1.0])
    assert found["matrix"][1] == found["shift"][1] == found["bingham"][1] == 0.0
    assert found["grid"][1] > 0.0
    random = random_rotations(4, np.random.default_rng(0)).astype(np.float32)
    recipe = SimpleNamespace(label_errors="none", distance_weight=0.0, pair_sampling="random")
    objective = objectives.polar_objective(recipe, POLAR, None, 1.0)
    flat = {
        "matrix": tf.constant(random),
        "bingham": tf.eye(4, batch_shape=[4]),
        "grid": tf.zeros((4, POLAR.bins * POLAR.views)),
        "shift": tf.zeros((4, 2)),
    }
    labels = PoseLabels(tf.constant(random), tf.zeros((4, 2)), tf.ones(4), tf.zeros(4))
    with tf.GradientTape() as tape:
        tape.watch(flat["grid"])
        loss = objective(flat, labels, tf.constant(0.5))[0]
    np.testing.assert_allclose(tape.gradient(loss, flat["grid"]), 0.0, atol=1e-6)


def test_labels_count_modulo_the_group(rng):
    """Any mate of each label gives the same loss, and so the same weights."""
    group = symmetry_rotations("D2").astype(np.float32)
    grid = grid_rotations(POLAR.bins, POLAR.views)
    labels = grid[[0, 60, 2, 3]]
    recipe = SimpleNamespace(label_errors="estimated", distance_weight=0.1, pair_sampling="random")
    objective = objectives.polar_objective(recipe, POLAR, tf.constant(group), 1.0)
    outputs = {
        "matrix": tf.constant(grid[[0, 1, 2, 3]] * 0.9),
        "bingham": tf.eye(4, batch_shape=[4]),
        "grid": tf.constant(20.0 * np.eye(len(grid), dtype=np.float32)[[0, 1, 2, 3]]),
        "shift": tf.ones((4, 2)),
    }

    def loss(rotations):
        trust = tf.fill((4,), 0.9)
        truth = PoseLabels(tf.constant(rotations), tf.zeros((4, 2)), tf.ones(4), trust)
        return float(objective(outputs, truth, tf.constant(0.5))[0])

    mates = labels @ group[[3, 1, 2, 0]]
    assert loss(mates) == pytest.approx(loss(labels), rel=1e-5)
