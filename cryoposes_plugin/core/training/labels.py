"""The truth that training images come with."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np
import tensorflow as tf


class PoseLabels(NamedTuple):
    """True poses of B images, tensors or arrays.

    rotations : (B, 3, 3) float32, A of `conventions`.
    shifts_px : (B, 2) float32, displacement (x, y) in pixels of the network's images.
    shift_known : (B,) float32, 1 where `shifts_px` is the truth, 0 where nobody knows it.
    """

    rotations: Any
    shifts_px: Any
    shift_known: Any


def concatenated(labels: Sequence[PoseLabels]) -> PoseLabels:
    return PoseLabels(*(tf.concat(part, axis=0) for part in zip(*labels)))


def as_arrays(labels: Sequence[PoseLabels], number: int) -> PoseLabels:
    """The first `number` of several batches, float64."""
    return PoseLabels(*(np.concatenate(part)[:number].astype(np.float64) for part in zip(*labels)))
