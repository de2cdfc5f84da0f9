"""What training minimises: regression of rotations, likelihoods of distributions over them, and pairwise distances."""

from __future__ import annotations

from typing import Optional

import tensorflow as tf

#: Cosines of half angles are kept this far from 1, where the arc cosine has no derivative.
_COSINE_MARGIN = 1e-6


def matrix_loss(predicted: tf.Tensor, rotations: tf.Tensor) -> tf.Tensor:
    """Mean over the batch of |M - A|_F^2, of raw 9-D predictions (B, 3, 3) and rotations (B, 3, 3)."""
    return tf.reduce_mean(tf.reduce_sum(tf.square(predicted - rotations), axis=(1, 2)))


def shift_loss(predicted_px: tf.Tensor, shifts_px: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Mean squared error along an axis, px^2, of shifts (B, 2) over the images where (B,) known is 1; 0 without any."""
    squared = tf.reduce_mean(tf.square(predicted_px - shifts_px), axis=1)
    return tf.math.divide_no_nan(tf.reduce_sum(known * squared), tf.reduce_sum(known))


def quaternion_distance(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """d = 2 arccos|<a, b>| in radians of unit quaternions (..., 4) (Chung 2023, eq. 1); finite gradient everywhere."""
    cosine = tf.abs(tf.reduce_sum(a * b, axis=-1))
    return 2.0 * tf.acos(tf.minimum(cosine, 1.0 - _COSINE_MARGIN))


def angular_gaussian_loss(matrices: tf.Tensor, quaternions: tf.Tensor) -> tf.Tensor:
    """Mean negative log likelihood of quaternions (B, 4) under angular central Gaussians (B, 4, 4), up to a constant.

    p(q) = sqrt(det A) (q^T A q)^-2 / (2 pi^2): normalised in closed form, antipodally symmetric, invariant to the scale
    of A, and without eigenvectors in its gradient.
    """
    form = tf.einsum("bi,bij,bj->b", quaternions, matrices, quaternions)
    factor = tf.linalg.cholesky(matrices)
    half_log_determinant = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), axis=1)
    return tf.reduce_mean(2.0 * tf.math.log(form) - half_log_determinant)


def grid_targets(rotations: tf.Tensor, turns: tf.Tensor, views: tf.Tensor, concentration: float) -> tf.Tensor:
    """(B, K * J) probabilities of the grid rotations Rz(k) V_j: a von Mises-Fisher bump around each rotation (B, 3, 3).

    turns : (K, 3, 3), views : (J, 3, 3); p ~ exp(concentration tr(A^T Rz(k) V_j)).
    """
    turned_back = tf.einsum("kji,bjl->bkil", turns, rotations)
    shape = tf.shape(turned_back)
    flat = tf.reshape(turned_back, (shape[0], shape[1], 9))
    traces = tf.matmul(flat, tf.reshape(views, (-1, 9)), transpose_b=True)
    return tf.nn.softmax(concentration * tf.reshape(traces, (shape[0], -1)))


def grid_loss(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Mean cross entropy of (B, G) logits and target probabilities."""
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits))


def matrix_pair_loss(predicted: tf.Tensor, rotations: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Pairwise distances of raw 9-D predictions: weighted mean of (<M_i, M_j> - <A_i, A_j>)^2 / 3.

    <A_i, A_j> = 1 + 2 cos d: the distance enters through its cosine, which needs neither a projection onto SO(3) nor an
    arc cosine. weights : (B, B), see `pair_sampling.pair_weights`.
    """
    mine, true = (tf.matmul(x, x, transpose_b=True) for x in (tf.reshape(m, (-1, 9)) for m in (predicted, rotations)))
    return tf.reduce_sum(weights * tf.square(mine - true)) / 3.0


def quaternion_pair_loss(predicted: tf.Tensor, true: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """L_DE of Chung 2023: weighted mean of |d(p_i, p_j) - d(q_i, q_j)| over pairs of unit quaternions (B, 4)."""
    distances = [quaternion_distance(q[:, None, :], q[None, :, :]) for q in (predicted, true)]
    return tf.reduce_sum(weights * tf.abs(distances[0] - distances[1]))


def nearest_equivalent(rotations: tf.Tensor, predicted: tf.Tensor, group: Optional[tf.Tensor]) -> tf.Tensor:
    """Of the equal rotations A g, g in the group (G, 3, 3), the one nearest to each prediction (B, 3, 3)."""
    if group is None:
        return rotations
    candidates = tf.einsum("bij,gjk->bgik", rotations, group)
    overlap = tf.einsum("bgij,bij->bg", candidates, tf.stop_gradient(predicted))
    return tf.gather(candidates, tf.argmax(overlap, axis=1), batch_dims=1)
