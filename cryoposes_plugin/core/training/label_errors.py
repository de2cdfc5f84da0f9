"""Which labels are wrong: a mixture of right labels, about which the network's distribution of the
orientation is concentrated, and of wrong ones, which have nothing to do with the image (TensorFlow).

With the distribution p over the grid and the bump t about the label (both sum to 1), G sum(p t) is
the density of the label over that of a random orientation, as the network sees it. The probability
that a label is right follows from it and the share of wrong labels, which is found by
expectation-maximisation (Dempster, Laird & Rubin 1977).
"""

from __future__ import annotations

from typing import Dict, Tuple

import keras
import numpy as np
import tensorflow as tf

from ..networks.polar import PolarArchitecture
from ..networks.rotation_grid import grid_views, turns_about_z
from .losses import grid_targets, nearest_equivalent
from .sources import LabelledSource

_BATCH_SIZE = 250
_ITERATIONS = 20
#: At least half of the labels are right; that none is wrong cannot be known.
_LEAST_SHARE, _LARGEST_SHARE = 1e-3, 0.5
_START = 0.1


def label_agreement(logits: tf.Tensor, targets: tf.Tensor, mates: int = 1) -> tf.Tensor:
    """(B,) density of labels under the network, over that of random ones.

    Parameters
    ----------
    logits : (B, G) of the network's distribution over the grid.
    targets : (B, G) probabilities of the bumps about the labels, see `losses.grid_targets`.
    mates : number of symmetry mates, of which the one nearest to the network's estimate is the
    label.
    """
    number = tf.cast(tf.shape(logits)[1], tf.float32)
    return number / mates * tf.reduce_sum(tf.nn.softmax(logits) * targets, axis=1)


def share_of_wrong(agreements: tf.Tensor, counted: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Share of wrong labels, with the greatest likelihood of (B,) agreements where (B,) counted is
    1.
    """
    share = start
    for _ in range(_ITERATIONS):
        wrong = counted * share / (share + (1.0 - share) * agreements)
        share = tf.math.divide_no_nan(tf.reduce_sum(wrong), tf.reduce_sum(counted))
        share = tf.clip_by_value(share, _LEAST_SHARE, _LARGEST_SHARE)
    return share


def probability_of_right(trust: tf.Tensor, agreements: tf.Tensor) -> tf.Tensor:
    """(B,) probability that a label is right, by its agreement, where it may be wrong.

    trust : (B,) see `labels.PoseLabels`; of 0 and 1, it is the result.
    """
    doubtful = tf.cast((trust > 0.0) & (trust < 1.0), tf.float32)
    start = tf.math.divide_no_nan(tf.reduce_sum(doubtful * (1.0 - trust)), tf.reduce_sum(doubtful))
    share = share_of_wrong(agreements, doubtful, tf.maximum(start, _LEAST_SHARE))
    right = (1.0 - share) * agreements
    return tf.where(doubtful > 0.0, right / (right + share), trust)


def wrong_labels(
    network: keras.Model, polar: PolarArchitecture, source: LabelledSource, group: np.ndarray
) -> Tuple[np.ndarray, float]:
    """(N,) probability that the label of each particle of a source is wrong, and their share.

    Parameters
    ----------
    network : the trained network.
    polar : its architecture.
    source : of the particles, without augmentation.
    group : (G, 3, 3) symmetry rotations.
    """
    turns, views = tf.constant(turns_about_z(polar.bins)), tf.constant(grid_views(polar.views))
    mates = tf.constant(group, tf.float32)

    @tf.function(reduce_retracing=True)
    def agreement_of(arrays: Dict[str, tf.Tensor]) -> tf.Tensor:
        images, labels = source.images(arrays)
        outputs = network(images, training=False)
        rotations = nearest_equivalent(labels.rotations, outputs["matrix"], mates)
        targets = grid_targets(rotations, turns, views, polar.concentration)
        return label_agreement(outputs["grid"], targets, len(group))

    number = len(source.source)
    found = []
    for first in range(0, number, _BATCH_SIZE):
        arrays = source.of_rows(np.arange(first, min(first + _BATCH_SIZE, number)))
        found.append(agreement_of({name: tf.constant(value) for name, value in arrays.items()}))
    agreements = tf.concat(found, axis=0)
    share = share_of_wrong(agreements, tf.ones_like(agreements), tf.constant(_START))
    wrong = share / (share + (1.0 - share) * agreements)
    return wrong.numpy().astype(np.float64), float(share)
