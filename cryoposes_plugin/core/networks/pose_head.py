"""Layers that turn the features of a convolutional encoder into one or several weighted poses."""

from __future__ import annotations

from typing import Any, Dict

import keras
import tensorflow as tf

from .layers import Shape, register
from .representations import NUMBERS, bingham_matrices_of, rotations_of


@register
class HeadRotations(keras.layers.Layer):
    """(B, H, n) numbers of a representation -> (B, H, 3, 3) rotations."""

    def __init__(self, representation: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.representation = representation

    def call(self, numbers: tf.Tensor) -> tf.Tensor:
        return rotations_of(self.representation, tf.cast(numbers, tf.float32))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:2], 3, 3)

    def get_config(self) -> Dict[str, Any]:
        return {**super().get_config(), "representation": self.representation}


# The classes' names are part of saved models.
@register
class HeadForms(HeadRotations):
    """(B, H, n) numbers of a representation -> (B, H, 4, 4) Bingham matrices."""

    def call(self, numbers: tf.Tensor) -> tf.Tensor:
        return bingham_matrices_of(self.representation, tf.cast(numbers, tf.float32))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:2], 4, 4)


def pose_head(
    features: keras.KerasTensor, representation: str, heads: int, l2: float
) -> Dict[str, Any]:
    """Poses and their uncertainty from features.

    Parameters
    ----------
    features : (B, C) Keras tensor.
    representation : of a rotation, see `representations`.
    heads : number H of hypotheses for each image.
    l2 : weight decay.

    Returns
    -------
    {"rotations": (B, H, 3, 3), "bingham_matrices": (B, H, 4, 4)}, and "scores", (B, H) logits, if H
    > 1.
    """
    size = NUMBERS[representation]

    def dense(width: int, name: str) -> keras.KerasTensor:
        regularizer = keras.regularizers.L2(l2)
        return keras.layers.Dense(
            width,
            kernel_initializer="he_normal",
            kernel_regularizer=regularizer,
            dtype="float32",
            name=name,
        )(features)

    numbers = keras.layers.Reshape((heads, size), dtype="float32", name="heads")(
        dense(heads * size, "numbers")
    )
    outputs = {
        "rotations": HeadRotations(representation, dtype="float32", name="rotations")(numbers),
        "bingham_matrices": HeadForms(representation, dtype="float32", name="forms")(numbers),
    }
    if heads > 1:
        outputs["scores"] = dense(heads, "scores")
    return outputs
