"""Several candidate rotations for an image, best first, from the distribution that a network
predicts (TensorFlow).
"""

from __future__ import annotations

from typing import Dict, Tuple

import tensorflow as tf

from ..networks.quaternions import quaternion_rotations
from ..networks.representations import best_hypothesis, nearest_rotations

_SEED = (20211, 7)
#: Draws from the envelope for every one that is wanted.
_TRIALS = 12
_NEWTON_STEPS = 8

#: (rotations (B, K, 3, 3), log weights (B, K))
Candidates = Tuple[tf.Tensor, tf.Tensor]


def grid_candidates(
    matrices: tf.Tensor, logits: tf.Tensor, grid: tf.Tensor, number: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The estimate itself, then the number - 1 most probable rotations of the grid: rotations (B,
    K, 3, 3), log weights (B, K) and rows of the grid (B, K) int32, -1 for the estimate.

    matrices : (B, 3, 3) raw 9-D predictions. logits : (B, G). grid : (G, 3, 3). number : () int32,
    from 1 to G + 1. Log weights are the log probabilities of the grid rotations; the estimate has
    that of the one nearest to it.
    """
    log_probabilities = tf.nn.log_softmax(logits)
    estimate = nearest_rotations(matrices)
    traces = tf.matmul(tf.reshape(estimate, (-1, 9)), tf.reshape(grid, (-1, 9)), transpose_b=True)
    of_estimate = tf.gather(log_probabilities, tf.argmax(traces, axis=1), batch_dims=1)
    best, index = tf.math.top_k(log_probabilities, number - 1)
    rotations = tf.concat([estimate[:, None], tf.gather(grid, index)], axis=1)
    on_grid = tf.pad(index, [[0, 0], [1, 0]], constant_values=-1)
    return rotations, tf.concat([of_estimate[:, None], best], axis=1), on_grid


def bingham_candidates(bingham_matrices: tf.Tensor, number: tf.Tensor) -> Candidates:
    """The mode of the density exp(-q^T M q), then number - 1 draws from it, of the same random
    numbers for every image.

    bingham_matrices : (B, 4, 4) M. Log weights are log densities relative to the mode. Drawn by
    rejection from an angular central Gaussian (Kent, Ganeiban & Mardia 2013), whose acceptance is
    40 % or better; the few that `_TRIALS` draws all reject keep the likeliest one.
    """
    values, vectors = tf.linalg.eigh(bingham_matrices)
    excess = values - values[:, :1]
    along = _draw_bingham(vectors, excess, number - 1)
    mode = tf.broadcast_to(tf.constant([1.0, 0.0, 0.0, 0.0]), (tf.shape(along)[0], 1, 4))
    along = tf.concat([mode, along], axis=1)
    quaternions = tf.einsum("bij,bkj->bki", vectors, along)
    rotations = tf.reshape(
        quaternion_rotations(tf.reshape(quaternions, (-1, 4))), (tf.shape(along)[0], -1, 3, 3)
    )
    return rotations, -tf.einsum("bki,bi->bk", along * along, excess)


def hypothesis_candidates(outputs: Dict[str, tf.Tensor], number: tf.Tensor) -> Candidates:
    """The network's own hypotheses, most probable first, then draws from the Bingham distribution
    of the first.

    Log weights of hypotheses are log probabilities; those of draws fall off from that of the first.
    """
    estimate, bingham_matrices = best_hypothesis(outputs)
    heads = outputs["rotations"].shape[1]
    scores = outputs.get("scores", tf.zeros((tf.shape(bingham_matrices)[0], heads)))
    log_weights, order = tf.math.top_k(tf.nn.log_softmax(scores), heads)
    rotations = tf.gather(outputs["rotations"], order, batch_dims=1)
    rotations = tf.concat([estimate[:, None], rotations[:, 1:]], axis=1)
    drawn, relative = bingham_candidates(bingham_matrices, tf.maximum(number - heads, 0) + 1)
    rotations = tf.concat([rotations, drawn[:, 1:]], axis=1)
    log_weights = tf.concat([log_weights, log_weights[:, :1] + relative[:, 1:]], axis=1)
    return rotations[:, :number], log_weights[:, :number]


def _draw_bingham(vectors: tf.Tensor, excess: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """(B, n, 4) unit vectors of density exp(-sum_i e_i x_i^2), e (B, 4) with e_1 = 0, in the frame
    of `vectors`.

    The random numbers are turned into that frame: order and sign of equal eigenvalues' vectors then
    matter not.
    """
    b = _envelope(excess)
    shape = (number, _TRIALS)
    normal = tf.random.stateless_normal((*shape, 4), _SEED)
    uniform = tf.random.stateless_uniform(shape, _SEED)
    omega = 1.0 + 2.0 * excess / b[:, None]
    x = tf.einsum("ntj,bji->bnti", normal, vectors) * tf.math.rsqrt(omega)[:, None, None, :]
    x = tf.math.l2_normalize(x, axis=3)
    exponent = tf.einsum("bnti,bi->bnt", x * x, excess)
    # log of exp(-t) (1 + 2 t / b)^2 over its maximum
    log_ratio = 2.0 * tf.math.log1p(2.0 * exponent / b[:, None, None]) - exponent
    log_bound = 2.0 * tf.math.log(4.0 / b) - 0.5 * (4.0 - b)
    margin = log_ratio - log_bound[:, None, None] - tf.math.log(uniform)[None]
    first = tf.argmax(tf.cast(margin > 0, tf.int32), axis=2)
    chosen = tf.where(tf.reduce_any(margin > 0, axis=2), first, tf.argmax(margin, axis=2))
    return tf.gather(x, chosen, batch_dims=2)


def _envelope(excess: tf.Tensor) -> tf.Tensor:
    """(B,) the b of sum_i 1 / (b + 2 e_i) = 1, by Newton's method from below: the best envelope."""
    b = tf.ones_like(excess[:, 0])
    for _ in range(_NEWTON_STEPS):
        share = 1.0 / (b[:, None] + 2.0 * excess)
        b += (tf.reduce_sum(share, axis=1) - 1.0) / tf.reduce_sum(share * share, axis=1)
    return b
