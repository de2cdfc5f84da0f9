"""Several hypotheses for an image: the estimate first, the rest by weight; draws that have the
density they say.
"""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from cryoposes_plugin.core.conventions import quaternions_to_rotations, rotations_to_quaternions
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.models.hypotheses import (
    bingham_candidates,
    grid_candidates,
    hypothesis_candidates,
)
from cryoposes_plugin.core.models.model_card import ModelCard
from cryoposes_plugin.core.models.pose_model import PoseModel
from cryoposes_plugin.core.networks.build import build_network
from cryoposes_plugin.core.networks.cryoforum2023 import CryoforumArchitecture
from cryoposes_plugin.core.networks.lian2022 import LianArchitecture
from cryoposes_plugin.core.networks.polar import PolarArchitecture
from cryoposes_plugin.core.networks.rotation_grid import grid_rotations

NETWORKS = {
    "polar": PolarArchitecture(
        16, 6.5, angles=8, bins=8, radii=6, templates=8, width=8, blocks=1, views=6
    ),
    "cryoforum": CryoforumArchitecture(16, filters=2, stem=((7, 4), (5, 4)), doubles=(4, 4, 4, 8)),
    "lian": LianArchitecture(16, blocks=((1, 4), (1, 4)), middle=(4, 8), dense=(8,), heads=3),
}


@pytest.fixture(scope="module", params=list(NETWORKS))
def model(request):
    # An untrained network may give a form that prefers nothing, whose mode is rounding; not this
    # one.
    keras.utils.set_random_seed(0)
    network = {"kind": request.param, **NETWORKS[request.param].to_dict()}
    card = ModelCard("default", 16, 5.0, 70.0, "none", "raw", "C1", network)
    return PoseModel(card, build_network(network))


@pytest.fixture
def images(rng):
    return rng.standard_normal((5, 16, 16)).astype(np.float32)


def test_the_first_hypothesis_is_the_prediction(model, images):
    rotations, log_weights, shifts_px = model.hypotheses(images, number=9)
    assert rotations.shape == (5, 9, 3, 3)
    assert rotations.dtype == log_weights.dtype == np.float32
    prediction = model.predict(images)
    np.testing.assert_allclose(rotations[:, 0], prediction.rotations, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(rotations), 1.0, atol=1e-5)
    assert np.isfinite(log_weights).all()
    np.testing.assert_allclose(
        shifts_px, 0.0 if prediction.shifts_px is None else prediction.shifts_px, atol=1e-6
    )


def test_poses_are_in_the_frame_of_the_card(model, images, rng):
    """A R in place of A: estimates, hypotheses, their rows of the grid, the modes of the densities."""
    turn = random_rotations(1, rng)[0]
    card = dataclasses.replace(model.card, frame={"turn": turn.tolist()})
    turned = PoseModel(card, model.network)
    before, after = model.predict(images), turned.predict(images)
    np.testing.assert_allclose(after.rotations, before.rotations @ turn, atol=1e-6)
    np.testing.assert_array_equal(after.covariance, before.covariance)
    candidates = turned.hypotheses(images, number=7)
    expected = model.hypotheses(images, number=7).rotations @ turn
    np.testing.assert_allclose(candidates.rotations, expected, atol=1e-5)
    if turned.grid is not None:
        known = candidates.on_grid >= 0
        found = candidates.rotations[known]
        np.testing.assert_allclose(found, turned.grid[candidates.on_grid[known]], atol=1e-5)

    def mode(matrices):
        return np.linalg.eigh(matrices)[1][:, :, 0]

    modes = rotations_to_quaternions(quaternions_to_rotations(mode(before.bingham_matrices)) @ turn)
    products = np.abs((modes * mode(after.bingham_matrices)).sum(axis=1))
    np.testing.assert_allclose(products, 1, atol=1e-5)


def test_hypotheses_depend_neither_on_the_batch_nor_on_the_call(model, images):
    whole, single = model.hypotheses(images, number=6), model.hypotheses(images[3:4], number=6)
    np.testing.assert_allclose(single.rotations[0], whole.rotations[3], atol=1e-4)
    np.testing.assert_array_equal(model.hypotheses(images, number=6).rotations, whole.rotations)
    fewer = model.hypotheses(images, number=1)
    np.testing.assert_array_equal(fewer.rotations[:, 0], whole.rotations[:, 0])
    assert model._hypotheses.experimental_get_tracing_count() == 1
    with pytest.raises(ValueError, match="hypotheses from 1 to"):
        model.hypotheses(images, number=0)


def test_grid_candidates_by_hand(rng):
    grid = grid_rotations(4, 5)
    logits = rng.standard_normal((2, 20)).astype(np.float32)
    raw = 2.0 * grid[[7, 11]] + 0.01 * rng.standard_normal((2, 3, 3)).astype(np.float32)
    rotations, log_weights, on_grid = grid_candidates(
        *map(tf.constant, (raw, logits, grid)), tf.constant(4)
    )
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    order = np.argsort(-logits, axis=1)[:, :3]
    np.testing.assert_allclose(rotations[:, 1:], grid[order])
    np.testing.assert_array_equal(on_grid, np.insert(order, 0, -1, axis=1))
    np.testing.assert_allclose(log_weights[:, 1:], np.take_along_axis(log_p, order, 1), rtol=1e-5)
    np.testing.assert_allclose(log_weights[:, 0], [log_p[0, 7], log_p[1, 11]], rtol=1e-5)
    assert np.rad2deg(angular_distance_rad(rotations[:, 0], grid[[7, 11]])).max() < 2


@pytest.mark.parametrize(
    "values", [(3, 2003, 4003, 8003), (0, 1, 2, 5), (1, 1, 1, 1), (0, 0.1, 30, 500)]
)
def test_draws_have_the_moments_of_the_bingham_density(values, rng):
    """Against importance sampling: the mean of x_i^2 under exp(-x^T A x)."""
    basis = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    values = np.array(values, float)
    excess = values - values[0]
    matrix = tf.constant(basis @ np.diag(values) @ basis.T, tf.float32)[None]
    rotations, log_weights = (t.numpy()[0] for t in bingham_candidates(matrix, tf.constant(6001)))
    along = rotations_to_quaternions(rotations.astype(np.float64)) @ basis
    if excess[1] > 0:
        np.testing.assert_allclose(np.abs(along[0]), [1, 0, 0, 0], atol=1e-2)
    x = rng.standard_normal((400_000, 4)) / np.sqrt(1 + 2 * excess)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weight = np.exp(-(x**2) @ excess) * ((x**2) @ (1 + 2 * excess)) ** 2
    np.testing.assert_allclose(
        (along[1:] ** 2).mean(axis=0), np.average(x**2, axis=0, weights=weight), rtol=0.08
    )
    np.testing.assert_allclose(log_weights, -(along**2) @ excess, rtol=0.02, atol=0.05)
    assert log_weights[0] == 0
    assert (log_weights <= 0).all()


def test_heads_come_by_their_score_and_draws_after_them(rng):
    rotations = random_rotations(6, rng).reshape(2, 3, 3, 3).astype(np.float32)
    quaternions = rotations_to_quaternions(rotations.reshape(-1, 3, 3).astype(float)).reshape(
        2, 3, 4
    )
    forms = -50.0 * np.einsum("bhi,bhj->bhij", quaternions, quaternions).astype(np.float32)
    scores = np.array([[0.0, 2.0, 1.0], [3.0, -1.0, 0.5]], np.float32)
    outputs = {
        name: tf.constant(v)
        for name, v in (("rotations", rotations), ("bingham_matrices", forms), ("scores", scores))
    }
    got, log_weights = (t.numpy() for t in hypothesis_candidates(outputs, tf.constant(7)))
    order = np.array([[1, 2, 0], [0, 2, 1]])
    np.testing.assert_allclose(
        got[:, :3], np.take_along_axis(rotations, order[..., None, None], 1), atol=1e-6
    )
    expected = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(
        log_weights[:, :3], np.take_along_axis(expected, order, 1), rtol=1e-5
    )
    assert got.shape == (2, 7, 3, 3)
    assert (log_weights[:, 3:] < log_weights[:, :1]).all()
    assert np.rad2deg(angular_distance_rad(got[:, 3:], got[:, :1])).max() < 45
    fewer, weights = hypothesis_candidates(outputs, tf.constant(2))
    np.testing.assert_allclose(fewer, got[:, :2])
    assert weights.shape == (2, 2)
