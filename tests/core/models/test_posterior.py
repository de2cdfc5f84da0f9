"""The network's own covariance and probability elsewhere, against sums by hand and against draws."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.models.posterior import REACH_RAD, bingham_posterior, grid_posterior
from cryoposes_plugin.core.networks.rotation_grid import grid_rotations


def test_moments_of_a_grid_by_hand(rng):
    grid = grid_rotations(16, 40)
    estimate = random_rotations(3, rng).astype(np.float32)
    logits = rng.standard_normal((3, len(grid))).astype(np.float32)
    covariance, elsewhere = grid_posterior(*map(tf.constant, (estimate, logits, grid)))

    for b in range(3):
        w = Rotation.from_matrix(grid.astype(float) @ estimate[b].T.astype(float)).as_rotvec()
        p = np.exp(logits[b].astype(float))
        p /= p.sum()
        angle = np.linalg.norm(w, axis=1)
        w *= (np.sin(angle) / angle)[:, None]
        near = angle < REACH_RAD
        assert near.sum() >= 5
        moment = np.einsum("g,gi,gj->ij", p[near], w[near], w[near]) / p[near].sum()
        np.testing.assert_allclose(covariance[b], moment, atol=1e-4)
        np.testing.assert_allclose(elsewhere[b], p[~near].sum(), atol=1e-4)


def test_a_narrow_bingham_density_has_the_covariance_of_its_draws(rng):
    vectors = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    gaps = np.array([0.0, 200.0, 400.0, 1000.0])
    matrix = vectors @ np.diag(gaps) @ vectors.T
    covariance, elsewhere = bingham_posterior(tf.constant(matrix[None], tf.float32))

    # Near the mode the density is a Gaussian of variance 1 / (2 gap) along each vector.
    steps = rng.standard_normal((200_000, 3)) / np.sqrt(2 * gaps[1:])
    drawn = vectors[:, 0] + steps @ vectors[:, 1:].T
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    estimate = Rotation.from_quat(np.roll(vectors[:, 0], -1))
    w = (Rotation.from_quat(np.roll(drawn, -1, axis=1)) * estimate.inv()).as_rotvec()
    # Within what the end of the variance at that of a random rotation takes away.
    np.testing.assert_allclose(covariance[0], np.cov(w.T), atol=2e-4)
    assert float(elsewhere[0]) == pytest.approx(0.0338, abs=1e-3)  # 0.017 / (0.017 + 0.487)


def test_no_preference_is_a_random_rotation():
    covariance, elsewhere = bingham_posterior(tf.eye(4)[None])
    np.testing.assert_allclose(covariance[0], 1.77 * np.eye(3), atol=1e-4)
    assert elsewhere[0] > 0.9
