"""Choices of network and loss: which go together, what a preset means, and that every one trains,
saves and loads.
"""

import dataclasses
import functools
import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.fourier.ctf import pack_ctf
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.forward_model import ForwardModel, apply_image_state
from cryoposes_plugin.core.models.model_card import ModelCard
from cryoposes_plugin.core.models.pose_model import PoseModel
from cryoposes_plugin.core.networks.build import build_network
from cryoposes_plugin.core.networks.choices import REPRESENTATIONS
from cryoposes_plugin.core.networks.cryoforum2023 import CryoforumArchitecture
from cryoposes_plugin.core.networks.representations import (
    NUMBERS,
    bingham_matrices_of,
    rotations_of,
)
from cryoposes_plugin.core.training import components, losses, objectives, pair_sampling
from cryoposes_plugin.core.training.labels import PoseLabels
from cryoposes_plugin.core.training.tasks import PoseTask

from ..particle_sets import make_ctf

TINY = dict(filters=2, stem=((5, 4),), doubles=(4, 8))
CHUNG = TrainConfig(volume=("a",), preset="cryoforum2023")
LIAN = TrainConfig(volume=("a",), preset="lian2022")


@pytest.mark.parametrize(
    "config, sentence",
    [
        (
            TrainConfig(volume=("a",), representation="svd9"),
            "--representation is 'svd9', and the network of --preset default has no such choice; "
            "leave it out, or give --preset cryoforum2023 or lian2022.",
        ),
        (
            TrainConfig(volume=("a",), heads=3),
            "--heads is 3, and the network of --preset default has no such choice",
        ),
        (
            TrainConfig(volume=("a",), regression_weight=0.5),
            "--regression-weight is 0.5, and the network of",
        ),
        (
            dataclasses.replace(LIAN, pooling="max"),
            "has no such choice; leave it out, or give --preset cryoforum2023.",
        ),
        (
            dataclasses.replace(CHUNG, loss="matrix-fisher"),
            "give --representation svd9 or another loss",
        ),
        (dataclasses.replace(LIAN, loss="bingham"), "the representation is 'quaternion'"),
        (
            dataclasses.replace(CHUNG, training_style="single", distance_weight=0.2),
            "'single' has no distance loss",
        ),
        (dataclasses.replace(LIAN, pair_sampling="stratified"), "'single' has no pairs"),
        (
            dataclasses.replace(LIAN, volume=("a", "b")),
            "--regression-weight is 0.8, which compares reprojections of",
        ),
        (dataclasses.replace(LIAN, volume=(), particles="p"), "--volume gives 0; give one map"),
        (
            dataclasses.replace(CHUNG, representation="euler"),
            "--representation is 'euler'; choose one of preset, bing",
        ),
    ],
)
def test_choices_that_do_not_go_together_are_one_sentence(config, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        config.validate()


def test_presets_are_those_of_the_papers():
    names = (
        "representation",
        "loss",
        "training_style",
        "pooling",
        "filter_bank",
        "batch_size",
        "learning_rate",
        "l2",
    )
    assert [getattr(CHUNG.recipe(), n) for n in names] == [
        "bingham10",
        "geodesic",
        "siamese+auxiliary",
        "generalised-mean",
        "low-pass",
        256,
        1e-3,
        1e-3,
    ]
    assert [getattr(LIAN.recipe(), n) for n in names] == [
        "quaternion",
        "quaternion",
        "single",
        None,
        None,
        24,
        5e-5,
        1e-4,
    ]
    assert LIAN.recipe().regression_weight == 0.8
    assert dataclasses.replace(LIAN, symmetry="D2").recipe().regression_weight == 0.1
    assert dataclasses.replace(LIAN, regression_weight=0.0).recipe().regression_weight == 0.0
    assert TrainConfig(volume=("a",)).recipe().ctf_correction == "phase-flip"
    assert (
        dataclasses.replace(CHUNG, ctf_correction="premultiply").recipe().ctf_correction
        == "premultiply"
    )
    for config in (CHUNG, LIAN, TrainConfig(volume=("a",))):
        config.validate()


def choices():
    """Every representation with a distance, the likelihoods, several heads, every pooling, bank and
    style.
    """
    for representation in REPRESENTATIONS:
        yield dict(representation=representation, loss="geodesic", heads=1)
    yield dict(representation="bingham10", loss="bingham", heads=2)
    yield dict(representation="svd9", loss="matrix-fisher", training_style="siamese")
    yield dict(representation="gram-schmidt6", loss="chordal", heads=3, training_style="single")
    yield dict(loss="quaternion", pooling="max+average", filter_bank="gaussian")
    yield dict(pooling="max", filter_bank="none", regression_weight=0.5)
    yield dict(pooling="average", training_style="siamese", pair_sampling="stratified")


def tiny_network(config, monkeypatch):
    monkeypatch.setattr(
        components, "CryoforumArchitecture", functools.partial(CryoforumArchitecture, **TINY)
    )
    # with some weights two eigenvalues nearly meet, and the rounding of two graphs then shows in
    # the pose
    keras.utils.set_random_seed(0)
    described = components.network_description(config.recipe(), 16, 7.0)
    return described, build_network(described)


@pytest.mark.parametrize("changes", choices(), ids=lambda c: "_".join(str(v) for v in c.values()))
def test_every_choice_has_gradients_and_survives_the_card(
    changes, asymmetric_volume, monkeypatch, rng, tmp_path
):
    config = dataclasses.replace(CHUNG, **changes)
    config.validate()
    described, network = tiny_network(config, monkeypatch)
    projector = ForwardModel([asymmetric_volume], 16, 15.0) if config.regression_weight else None
    objective = PoseTask(config.recipe(), np.eye(3)[None]).objective(described, 1.0, projector)
    images = tf.constant(rng.standard_normal((6, 16, 16)), tf.float32)
    truth = tf.constant(random_rotations(6, rng), tf.float32)
    labels = PoseLabels(truth, tf.zeros((6, 2)), tf.zeros(6))
    with tf.GradientTape() as tape:
        loss, parts = objective(network(images, training=True), labels, tf.constant(0.3))
    gradients = tape.gradient(loss, network.trainable_variables)
    assert np.isfinite(float(loss))
    assert all(np.isfinite(float(part)) for part in parts.values())
    for variable, gradient in zip(network.trainable_variables, gradients):
        assert gradient is not None, variable.name
        assert np.isfinite(gradient.numpy()).all(), variable.name
        # What is negative before the generalised mean is cut off there: the last slope may get no
        # gradient.
        assert variable.name == "alpha" or np.abs(gradient.numpy()).max() > 0, variable.name
    assert ("distance" in parts) == (config.recipe().training_style == "siamese+auxiliary")
    assert ("scores" in parts) == (config.recipe().heads > 1)
    assert ("reprojection" in parts) == (config.recipe().regression_weight < 1)

    card = ModelCard("cryoforum2023", 16, 5.0, 70.0, "none", "raw", "C1", described)
    model = PoseModel(card, network)
    model.save(tmp_path / "model")
    loaded = PoseModel.load(tmp_path / "model")
    for mine, theirs in zip(loaded.network.get_weights(), network.get_weights()):
        np.testing.assert_array_equal(mine, theirs)
    before, after = model.predict(images.numpy()), loaded.hypotheses(images.numpy(), number=5)
    np.testing.assert_allclose(after.rotations[:, 0], before.rotations, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(after.rotations), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    "representation, loss",
    [("svd9", "matrix-fisher"), ("bingham10", "bingham"), ("quaternion", "geodesic")],
)
def test_descending_the_loss_finds_the_rotation(representation, loss, rng):
    """The numbers themselves are trained, from a random start: a wrong gradient would not arrive."""
    numbers = tf.Variable(
        0.5 * rng.standard_normal((8, 1, NUMBERS[representation])), dtype=tf.float32
    )
    truth = tf.constant(random_rotations(8, rng)[:, None], tf.float32)
    optimizer = keras.optimizers.Adam(0.05)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            outputs = {
                "rotations": rotations_of(representation, numbers),
                "bingham_matrices": bingham_matrices_of(representation, numbers),
            }
            value = tf.reduce_sum(objectives._regression(loss, outputs, truth))
        optimizer.apply_gradients([(tape.gradient(value, numbers), numbers)])
        return outputs["rotations"]

    start = np.median(angular_distance_rad(step().numpy(), truth.numpy()))
    for _ in range(300):
        found = step()
    error = np.median(angular_distance_rad(found.numpy(), truth.numpy()))
    assert np.rad2deg(error) < 3
    assert start > 10 * error


def outputs_of(rotations, scores=None):
    outputs = {
        "rotations": tf.constant(rotations, tf.float32),
        "bingham_matrices": tf.zeros((*rotations.shape[:2], 4, 4)),
    }
    return outputs if scores is None else {**outputs, "scores": tf.constant(scores, tf.float32)}


def test_the_winner_takes_nearly_all(rng):
    truth = random_rotations(5, rng)
    heads = np.stack([random_rotations(5, rng), truth, random_rotations(5, rng)], axis=1)
    config = dataclasses.replace(CHUNG, heads=3, training_style="single")
    objective = objectives.encoder_objective(config.recipe(), None, None)
    labels = PoseLabels(tf.constant(truth, tf.float32), tf.zeros((5, 2)), tf.zeros(5))
    loss, parts = objective(
        outputs_of(heads, np.tile([0.0, 9.0, 0.0], (5, 1))), labels, tf.constant(0.5)
    )
    others = angular_distance_rad(heads[:, [0, 2]], truth[:, None]).mean()
    assert float(parts["regression"]) == pytest.approx(0.05 * others, abs=5e-3)
    assert float(parts["scores"]) < 1e-3
    wrong, _ = objective(
        outputs_of(heads, np.tile([9.0, 0.0, 0.0], (5, 1))), labels, tf.constant(0.5)
    )
    assert float(wrong) > float(loss) + 0.8


def test_two_hypotheses_hold_two_modes_apart(rng):
    """The same image with two poses, three times in four the first: one hypothesis each, and scores
    that say so.
    """
    poses = random_rotations(2, rng)
    config = dataclasses.replace(CHUNG, heads=2, representation="svd9", training_style="single")
    objective = objectives.encoder_objective(config.recipe(), None, None)
    numbers = tf.Variable(0.5 * rng.standard_normal((1, 2, 9)), dtype=tf.float32)
    scores = tf.Variable(tf.zeros((1, 2)))
    optimizer = keras.optimizers.Adam(0.05)
    truth = tf.constant(poses[[0, 0, 0, 1]], tf.float32)
    labels = PoseLabels(truth, tf.zeros((4, 2)), tf.zeros(4))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            repeated = {"rotations": tf.repeat(rotations_of("svd9", numbers), 4, axis=0)}
            repeated.update(
                bingham_matrices=tf.zeros((4, 2, 4, 4)), scores=tf.repeat(scores, 4, axis=0)
            )
            value, _ = objective(repeated, labels, tf.constant(0.5))
        variables = [numbers, scores]
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables))

    for _ in range(250):
        step()
    heads = rotations_of("svd9", numbers).numpy()[0]
    error = np.rad2deg(angular_distance_rad(heads[:, None], poses[None]))
    assert error.min(axis=0).max() < 5
    np.testing.assert_allclose(
        tf.nn.softmax(scores).numpy()[0][error.argmin(axis=0)], [0.75, 0.25], atol=0.05
    )


def test_a_siamese_pair_counts_both_its_images(rng):
    errors, weights = tf.constant([1.0, 2.0, 4.0]), np.zeros((3, 3), np.float32)
    weights[0, 1], weights[0, 2] = 0.25, 0.75
    assert float(objectives._average(errors, tf.constant(weights), "siamese")) == pytest.approx(
        0.25 * 1.5 + 0.75 * 2.5
    )
    assert float(objectives._average(errors, tf.constant(weights), "single")) == pytest.approx(
        7 / 3
    )
    uniform = pair_sampling.pair_weights(tf.eye(3, batch_shape=[3]), "random")
    assert float(objectives._average(errors, uniform, "siamese")) == pytest.approx(7 / 3)


def test_the_objective_is_eq_4_of_chung(rng):
    truth, predicted = random_rotations(6, rng), random_rotations(6, rng)
    labels = PoseLabels(tf.constant(truth, tf.float32), tf.zeros((6, 2)), tf.zeros(6))
    objective = objectives.encoder_objective(CHUNG.recipe(), None, None)
    loss, _ = objective(outputs_of(predicted[:, None]), labels, tf.constant(0.25))
    d = angular_distance_rad(truth, predicted)
    pairs = list(itertools.combinations(range(6), 2))
    between = [
        abs(
            angular_distance_rad(truth[i], truth[j])
            - angular_distance_rad(predicted[i], predicted[j])
        )
        for i, j in pairs
    ]
    expected = 0.25 * np.mean([d[i] + d[j] for i, j in pairs]) + 0.5 * np.mean(between)
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_the_objective_is_eq_15_of_lian_and_knows_symmetry(asymmetric_volume, rng):
    projector = ForwardModel([asymmetric_volume], 16, 15.0)
    truth, predicted = (tf.constant(random_rotations(4, rng), tf.float32) for _ in range(2))
    labels = PoseLabels(truth, tf.zeros((4, 2)), tf.zeros(4))
    loss, _ = objectives.encoder_objective(LIAN.recipe(), None, projector)(
        outputs_of(predicted.numpy()[:, None]), labels, tf.constant(0.5)
    )
    expected = 0.8 * tf.reduce_mean(losses.quaternion_loss(predicted, truth))
    expected += 0.2 * losses.reprojection_loss(projector, predicted, truth)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    group = tf.constant(np.stack([np.eye(3), np.diag([-1.0, -1.0, 1.0])]), tf.float32)
    equivalent = tf.matmul(truth, group[1]).numpy()[:, None]
    config = dataclasses.replace(LIAN, symmetry="C2", regression_weight=1.0)
    assert (
        float(
            objectives.encoder_objective(config.recipe(), group, None)(
                outputs_of(equivalent), labels, 0.5
            )[0]
        )
        < 1e-5
    )


@pytest.mark.parametrize(
    "correction, state", [("phase-flip", "phase-flipped"), ("premultiply", "ctf-premultiplied")]
)
def test_a_model_corrects_raw_images_as_it_was_trained_to(correction, state, monkeypatch, rng):
    """Raw images with their CTF, and the same ones corrected beforehand, are one to the network."""
    described, network = tiny_network(CHUNG, monkeypatch)
    model = PoseModel(
        ModelCard("cryoforum2023", 16, 5.0, 70.0, correction, "raw", "C1", described), network
    )
    images = rng.standard_normal((3, 16, 16)).astype(np.float32)
    ctf = make_ctf(3)
    corrected = apply_image_state(images, pack_ctf(ctf), state, 5.0).numpy()
    expected = model.predict(corrected, ctf, state).rotations
    np.testing.assert_allclose(model.predict(images, ctf).rotations, expected, atol=1e-4)
    assert angular_distance_rad(model.predict(images).rotations, expected).max() > 1e-3
