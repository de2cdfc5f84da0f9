"""True poses of training images, and predictions beside them."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np
import tensorflow as tf


class PoseLabels(NamedTuple):
    """True poses of B images, tensors or arrays.

    rotations : (B, 3, 3) float32, A of `conventions`.
    shifts_px : (B, 2) float32, displacement (x, y) in pixels of the network's images.
    shift_known : (B,) float32, 1 where `shifts_px` is the true shift, 0 where that is unknown.
    trust : (B,) float32, probability of the label before the training: 1 where it is the truth,
    less where it may be wrong, 0 for an image that shows no particle and has no pose.
    """

    rotations: Any
    shifts_px: Any
    shift_known: Any
    trust: Any = 1.0


class Evaluation(NamedTuple):
    """What a network predicts for held-out images, and their true poses."""

    predicted: Any
    truth: PoseLabels


def concatenated(labels: Sequence[PoseLabels]) -> PoseLabels:
    """The labels of several batches of tensors, one after the other."""
    return PoseLabels(*(tf.concat(part, axis=0) for part in zip(*labels)))


def as_arrays(labels: Sequence[PoseLabels], number: int) -> PoseLabels:
    """The first `number` labels of several batches of arrays, float64."""
    return PoseLabels(*(np.concatenate(part)[:number].astype(np.float64) for part in zip(*labels)))
