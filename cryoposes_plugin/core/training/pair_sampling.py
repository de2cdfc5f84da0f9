"""Which pairs of a batch the distance loss sees (Chung 2023, section 3.5)."""

from __future__ import annotations

import math

import tensorflow as tf

#: Distances are told apart in this many bins on [0, pi] (supplementary figure 1).
DISTANCE_BINS = 8


def pair_distances(rotations: tf.Tensor) -> tf.Tensor:
    """(B, 3, 3) -> (B, B) geodesic distances in radians."""
    flat = tf.reshape(rotations, (-1, 9))
    cosine = 0.5 * (tf.matmul(flat, flat, transpose_b=True) - 1.0)
    return tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))


def pair_weights(rotations: tf.Tensor, sampling: str) -> tf.Tensor:
    """(B, B) weights of the pairs i < j, summing to 1 (0 elsewhere).

    "random": every pair counts the same. "stratified": every occupied bin of distance counts the
    same. The paper discards pairs until the bins are equally full; weighting them has the same
    expectation and wastes none.
    """
    number = tf.shape(rotations)[0]
    upper = tf.linalg.band_part(tf.ones((number, number)), 0, -1) - tf.eye(number)
    if sampling == "random":
        return upper / tf.maximum(tf.reduce_sum(upper), 1.0)
    if sampling != "stratified":
        raise ValueError(f"expected 'random' or 'stratified', received {sampling!r}")
    bins = tf.cast(pair_distances(rotations) / math.pi * DISTANCE_BINS, tf.int32)
    members = tf.one_hot(tf.minimum(bins, DISTANCE_BINS - 1), DISTANCE_BINS) * upper[:, :, None]
    count = tf.reduce_sum(members, axis=(0, 1))
    share = tf.math.divide_no_nan(tf.ones_like(count), count)
    weights = tf.reduce_sum(members * share, axis=2)
    return weights / tf.maximum(tf.reduce_sum(weights), 1e-12)
