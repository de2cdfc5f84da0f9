"""Distances between images: what features mean, the network of Banjac 2021, and what a distance
model may be asked.
"""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.conventions import rotations_to_quaternions
from cryoposes_plugin.core.errors import ConfigError, InputError
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.models import feature_distances
from cryoposes_plugin.core.models.distance_model import DistanceModel
from cryoposes_plugin.core.models.model_card import ModelCard
from cryoposes_plugin.core.models.model_folder import write_network
from cryoposes_plugin.core.models.pose_model import PoseModel
from cryoposes_plugin.core.networks.banjac2021 import BanjacArchitecture, build_banjac_encoder
from cryoposes_plugin.core.networks.build import build_network
from cryoposes_plugin.core.training import components, objectives
from cryoposes_plugin.core.training.distance_errors import Features, distance_summary
from cryoposes_plugin.core.training.labels import PoseLabels

from ...particle_sets import make_ctf

BANJAC = TrainConfig(volume=("a",), preset="banjac2021")
TINY = BanjacArchitecture(32, stem=((5, 4),), doubles=(8,), features=6)


def truth(rotations):
    return PoseLabels(rotations, np.zeros((len(rotations), 2)), np.ones(len(rotations)))


def test_features_that_are_rotations_or_quaternions_give_their_angles(rng):
    rotations = random_rotations(40, rng)
    true = angular_distance_rad(rotations[:, None], rotations[None])
    mixing = np.linalg.qr(rng.standard_normal((9, 9)))[0]
    nine = 2.5 * rotations.reshape(-1, 9) @ mixing
    np.testing.assert_allclose(feature_distances.distances("trace", nine, nine), true, atol=1e-6)
    quaternions = rotations_to_quaternions(rotations)
    near = np.einsum("na,ma->nm", quaternions, quaternions) > 0
    found = feature_distances.distances("cosine", quaternions, quaternions)
    np.testing.assert_allclose(found[near], true[near], atol=1e-6)
    points = rng.standard_normal((7, 3))
    expected = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.testing.assert_allclose(
        feature_distances.distances("euclidean", points, points), expected, atol=1e-6
    )
    with pytest.raises(ValueError, match="received 'manhattan'"):
        feature_distances.distances("manhattan", points, points)


@pytest.mark.parametrize("kind", ["cosine", "euclidean", "trace"])
def test_batches_are_measured_as_sets_are_and_equal_features_have_a_gradient(rng, kind):
    features = np.abs(rng.standard_normal((9, 5))).astype(np.float32)
    measured = feature_distances.pairs_of_batch(kind, tf.constant(features)).numpy()
    apart = ~np.eye(9, dtype=bool)
    np.testing.assert_allclose(
        measured[apart], feature_distances.distances(kind, features, features)[apart], atol=2e-3
    )
    features[1] = features[0]
    variable = tf.Variable(features)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(feature_distances.pairs_of_batch(kind, variable))
    assert np.isfinite(tape.gradient(loss, variable).numpy()).all()


@pytest.mark.parametrize("kind", ["cosine", "trace"])
def test_the_loss_is_the_squared_error_of_the_distances(rng, kind):
    config = TrainConfig(
        volume=("a",), preset="banjac2021", feature_distance=kind, pair_sampling="random"
    )
    rotations = random_rotations(12, rng)
    objective = objectives.distance_objective(config.recipe())
    labels = PoseLabels(*(tf.constant(a, tf.float32) for a in truth(rotations)))
    features = np.abs(rng.standard_normal((12, 9)))
    loss, parts = objective(
        {"features": tf.constant(features, tf.float32)}, labels, tf.constant(0.5)
    )
    i, j = np.triu_indices(12, 1)
    estimated = feature_distances.distances(kind, features, features)[i, j]
    expected = np.mean((estimated - angular_distance_rad(rotations[i], rotations[j])) ** 2)
    assert float(loss) == float(parts["distance"]) == pytest.approx(expected, rel=1e-3)


def test_the_preset_is_that_of_the_paper():
    names = (
        "feature_distance",
        "features",
        "pair_sampling",
        "learning_rate",
        "ctf_correction",
        "batch_size",
    )
    assert [getattr(BANJAC.recipe(), name) for name in names] == [
        "cosine",
        512,
        "stratified",
        1e-3,
        "none",
        128,
    ]
    network = components.network_description(BANJAC.recipe(), 64, 30.0)
    assert network["kind"] == "banjac"
    assert network["features"] == 512
    assert network["distance"] == "cosine"
    assert isinstance(components.make_optimizer(BANJAC.recipe()), keras.optimizers.RMSprop)


@pytest.mark.parametrize(
    "choices, sentence",
    [
        (
            dict(feature_distance="trace"),
            "--feature-distance is 'trace', and the network of --preset default has no",
        ),
        (
            dict(preset="banjac2021", distance_weight=0.5),
            "--preset banjac2021 learns only distances",
        ),
        (
            dict(preset="banjac2021", loss="geodesic"),
            "--loss is 'geodesic', and the network of --preset banjac2021",
        ),
        (
            dict(preset="banjac2021", symmetry="D2"),
            "--symmetry is D2, and --preset banjac2021 learns distances",
        ),
    ],
)
def test_choices_that_do_not_go_together_are_one_sentence(choices, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        TrainConfig(volume=("a",), **choices).validate()


def test_the_encoder_sees_what_an_image_holds_and_hardly_where(rng):
    network = build_banjac_encoder(TINY)
    blobs = np.zeros((3, 32, 32), np.float32)
    blobs[0, 12:18, 10:14] = 1
    blobs[1, 16:22, 14:18] = 1  # the first one, moved by the stride of the poolings
    blobs[2, 8:24, 15:17] = 1
    first, moved, other = network(blobs, training=False)["features"].numpy()
    np.testing.assert_allclose(first, moved, atol=1e-4 * np.abs(first).max())
    assert np.abs(first - other).max() > 0.05 * np.abs(first).max()
    rebuilt = build_network({"kind": "banjac", **TINY.to_dict()})
    assert [w.shape for w in rebuilt.weights] == [w.shape for w in network.weights]


def test_a_summary_sees_a_plateau(rng):
    rotations = random_rotations(60, rng)
    exact = distance_summary("trace", Features(rotations.reshape(-1, 9)), truth(rotations))
    assert exact["mean_distance_error_deg"] < 1e-4
    assert exact["distance_loss_rad2"] < 1e-10
    assert exact["correlation_of_distances"] == pytest.approx(1)
    # features that all share a constant part saturate: none is far from any other
    constant = np.concatenate([rotations.reshape(-1, 9), np.full((60, 1), 1.0)], axis=1)
    dull = distance_summary("trace", Features(constant), truth(rotations))
    assert dull["bias_of_far_pairs_deg"] < -10
    assert abs(dull["bias_of_near_pairs_deg"]) < 8
    assert dull["distance_loss_rad2"] > 0.01


class PixelFeatures(keras.layers.Layer):
    """Every fourth pixel along each axis about D // 2."""

    def call(self, images):
        return tf.reshape(images[:, 4::4, 4::4], (-1, 49))


@pytest.fixture
def pixel_model():
    images = keras.Input((32, 32))
    network = keras.Model(images, {"features": PixelFeatures()(images)})
    card = ModelCard(
        "banjac2021",
        32,
        5.0,
        140.0,
        "phase-flip",
        "raw",
        "C1",
        {"distance": "cosine"},
        gives="distances",
    )
    return DistanceModel(card, network)


def moved_by_hand(image, psi_rad, mirrored):
    """Every pixel (x, y) about D // 2 moved to Rz(psi) (-x, y) or Rz(psi) (x, y), for quarter
    turns.
    """
    y, x = np.mgrid[-15:16, -15:16]
    turned = np.rint(np.exp(1j * psi_rad) * (np.where(mirrored, -x, x) + 1j * y))
    moved = np.zeros_like(image)
    moved[turned.imag.astype(int) + 16, turned.real.astype(int) + 16] = image[y + 16, x + 16]
    return moved


def test_copies_are_turned_and_mirrored_about_the_centre_with_their_ctf(rng, pixel_model):
    """The image, corrected for its astigmatic CTF, then turned, is the turned image corrected for
    the turned CTF.
    """
    images = gaussian_filter(rng.standard_normal((3, 32, 32)), (0, 1.4, 1.4)).astype(np.float32)
    images *= np.hanning(33)[:-1, None] * np.hanning(33)[:-1]
    ctf = dataclasses.replace(make_ctf(3, 30000.0), defocus_v_angstrom=np.full(3, 9000.0))
    psi, mirrored = np.array([np.pi / 2, 0.0, -np.pi / 2]), np.array([False, True, True])
    copies = pixel_model.embed_copies(images, ctf, "raw", psi, mirrored).features
    by_hand = np.stack([moved_by_hand(*each) for each in zip(images, psi, mirrored)])
    angle = ctf.defocus_angle_deg * np.where(mirrored, -1, 1) + np.rad2deg(psi)
    turned_ctf = dataclasses.replace(ctf, defocus_angle_deg=angle)
    np.testing.assert_allclose(copies, pixel_model.embed(by_hand, turned_ctf).features, atol=1e-3)
    # a mirror that forgets the astigmatism is seen
    assert np.abs(copies - pixel_model.embed(by_hand, ctf).features).max(axis=1).min() > 0.3


def test_a_distance_model_gives_no_poses_and_says_what_does(tmp_path):
    network = build_banjac_encoder(TINY)
    card = ModelCard(
        "banjac2021",
        32,
        5.0,
        140.0,
        "none",
        "raw",
        "C1",
        {"kind": "banjac", **TINY.to_dict()},
        gives="distances",
    )
    write_network(tmp_path / "model", card, network)
    with pytest.raises(
        InputError, match="gives distances between images and no poses.*cryoposes recover --model"
    ):
        PoseModel.load(tmp_path / "model")
    model = DistanceModel.load(tmp_path / "model")
    images = np.random.default_rng(3).standard_normal((4, 32, 32)).astype(np.float32)
    again = DistanceModel(card, network).embed(images).features
    np.testing.assert_allclose(model.embed(images).features, again, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.embed(images[:1]).features, again[:1], rtol=1e-4, atol=1e-5)
    assert model._embed.experimental_get_tracing_count() == 1
    assert model.distance == "cosine"
    assert not model.predicts_shifts
