"""Losses: regression of rotations, likelihoods of distributions over them, and pairwise distances
(TensorFlow).
"""

from __future__ import annotations

from typing import Optional

import tensorflow as tf

from ..imaging.forward_model import ForwardModel
from ..networks.bingham_normaliser import log_normaliser
from ..networks.safe_gradients import angle, length


def matrix_loss(predicted: tf.Tensor, rotations: tf.Tensor) -> tf.Tensor:
    """(B,) |M - A|_F^2 of raw 9-D predictions (B, 3, 3) and rotations (B, 3, 3)."""
    return tf.reduce_sum(tf.square(predicted - rotations), axis=(1, 2))


def weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Mean of (B,) values with (B,) weights; 0 if all weights are 0."""
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values), tf.reduce_sum(weights))


def shift_loss(predicted_px: tf.Tensor, shifts_px: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Mean squared error along an axis, px^2, of shifts (B, 2) over the images whose (B,) known is
    1; 0 without any.
    """
    return weighted_mean(tf.reduce_mean(tf.square(predicted_px - shifts_px), axis=1), known)


def geodesic_distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Angle in radians between rotations (..., 3, 3), d = arccos((tr(A^T B) - 1) / 2) = 2
    arccos|<p, q>| of their quaternions (Chung 2023, eq. 1); finite gradient everywhere.
    """
    return angle(0.5 * (_inner(a, b) - 1.0))


def chordal_distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Chord |A - B|_F = 2 sqrt(2) sin(d / 2) of rotations (..., 3, 3); finite gradient everywhere."""
    difference = a - b
    return length(tf.reshape(difference, tf.concat([tf.shape(difference)[:-2], [9]], axis=0)))


def quaternion_loss(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """1 - <p, q>^2 = sin^2(d / 2) = (3 - tr(A^T B)) / 4 of rotations (..., 3, 3) (Lian 2022, eq.
    12).
    """
    return 0.25 * (3.0 - _inner(a, b))


def bingham_loss(bingham_matrices: tf.Tensor, quaternions: tf.Tensor) -> tf.Tensor:
    """(B,) negative log likelihoods of quaternions (B, 4) under p(q) = exp(-q^T M q) / c(M), M (B,
    4, 4).

    The density is taken with respect to the uniform one: the loss is 0 for a matrix without
    preference.
    """
    form = tf.einsum("bi,bij,bj->b", quaternions, bingham_matrices, quaternions)
    return form + log_normaliser(bingham_matrices)


def reprojection_loss(
    projector: ForwardModel, predicted: tf.Tensor, rotations: tf.Tensor
) -> tf.Tensor:
    """Mean |X(predicted) - X(true)| over the pixels of noise-free projections without CTF (Lian
    2022, eq. 14).

    It is in units of the mean |X(true)|, so that it does not depend on the scale of the map. No
    shift is applied, as any common shift gives the same loss. Symmetric particles need no special
    treatment. predicted, rotations : (B, 3, 3).
    """
    index, shifts_px = (
        tf.zeros_like(predicted[:, 0, 0], tf.int32),
        tf.zeros_like(predicted[:, 0, :2]),
    )
    estimated, true = (
        projector.images(index, r, shifts_px, None)
        for r in (predicted, tf.stop_gradient(rotations))
    )
    return tf.reduce_mean(tf.abs(estimated - true)) / tf.reduce_mean(tf.abs(true))


def angular_gaussian_loss(matrices: tf.Tensor, quaternions: tf.Tensor) -> tf.Tensor:
    """(B,) negative log likelihoods of quaternions (B, 4) under angular central Gaussians (B, 4, 4),
    up to a constant.

    p(q) = sqrt(det A) (q^T A q)^-2 / (2 pi^2): normalised in closed form, antipodally symmetric,
    invariant to the scale of A, and without eigenvectors in its gradient.
    """
    form = tf.einsum("bi,bij,bj->b", quaternions, matrices, quaternions)
    factor = tf.linalg.cholesky(matrices)
    half_log_determinant = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), axis=1)
    return 2.0 * tf.math.log(form) - half_log_determinant


def grid_targets(
    rotations: tf.Tensor, turns: tf.Tensor, views: tf.Tensor, concentration: float
) -> tf.Tensor:
    """Probabilities of the grid rotations Rz(k) V_j, a von Mises-Fisher bump p ~ exp(c tr(A^T Rz(k)
    V_j)).

    Parameters
    ----------
    rotations : (B, 3, 3) true rotations A, around which the bumps lie.
    turns : (K, 3, 3) rotations Rz(k).
    views : (J, 3, 3) rotations V_j.
    concentration : c.

    Returns
    -------
    (B, K * J) probabilities, with k first.
    """
    turned_back = tf.einsum("kji,bjl->bkil", turns, rotations)
    shape = tf.shape(turned_back)
    flat = tf.reshape(turned_back, (shape[0], shape[1], 9))
    traces = tf.matmul(flat, tf.reshape(views, (-1, 9)), transpose_b=True)
    return tf.nn.softmax(concentration * tf.reshape(traces, (shape[0], -1)))


def grid_loss(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """(B,) cross entropies of (B, G) logits and target probabilities."""
    return tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def matrix_pair_loss(predicted: tf.Tensor, rotations: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Pairwise distances of raw 9-D predictions: weighted mean of (<M_i, M_j> - <A_i, A_j>)^2 / 3.

    <A_i, A_j> = 1 + 2 cos d: the distance enters through its cosine, which needs neither a
    projection onto SO(3) nor an
    arc cosine. weights : (B, B), see `pair_sampling.pair_weights`.
    """
    return tf.reduce_sum(weights * tf.square(_products(predicted) - _products(rotations))) / 3.0


def rotation_pair_loss(predicted: tf.Tensor, true: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """L_DE of Chung 2023: weighted mean of |d(R_i, R_j) - d(A_i, A_j)| over pairs of rotations (B,
    3, 3).
    """
    estimated, known = (angle(0.5 * (_products(r) - 1.0)) for r in (predicted, true))
    return tf.reduce_sum(weights * tf.abs(estimated - known))


def nearest_equivalent(
    rotations: tf.Tensor, predicted: tf.Tensor, group: Optional[tf.Tensor]
) -> tf.Tensor:
    """Of the equivalent rotations A g, g in the group (G, 3, 3), the one nearest to each prediction
    (B, 3, 3).
    """
    if group is None:
        return rotations
    candidates = tf.einsum("bij,gjk->bgik", rotations, group)
    overlap = tf.einsum("bgij,bij->bg", candidates, tf.stop_gradient(predicted))
    return tf.gather(candidates, tf.argmax(overlap, axis=1), batch_dims=1)


def _inner(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """tr(A^T B) of (..., 3, 3)."""
    return tf.reduce_sum(a * b, axis=(-2, -1))


def _products(matrices: tf.Tensor) -> tf.Tensor:
    """(B, 3, 3) -> (B, B) inner products tr(M_i^T M_j)."""
    flat = tf.reshape(matrices, (-1, 9))
    return tf.matmul(flat, flat, transpose_b=True)
