"""Functions whose derivative TensorFlow leaves infinite, zero or to rounding at one point, with the
right one there.

At a kink the derivative given is the mean of those from all sides: 0 for a length at 0 and for an
angle at 0 and pi.
"""

from __future__ import annotations

import tensorflow as tf

#: Shorter vectors have no direction.
SHORTEST = 1e-6


@tf.custom_gradient
def scaled_bessel_i0(x: tf.Tensor):
    """I0(x) exp(-x) of x >= 0. Its derivative at 0 is -1; TensorFlow's, of I0(x) exp(-|x|), is 0
    there.
    """
    value = tf.math.bessel_i0e(x)
    return value, lambda upstream: upstream * (tf.math.bessel_i1e(x) - value)


@tf.custom_gradient
def angle(cosine: tf.Tensor):
    """Arc cosine, radians; cosines that rounding took beyond 1 or -1 count as these."""
    sine2 = tf.maximum((1.0 - cosine) * (1.0 + cosine), 0.0)
    value = tf.acos(tf.clip_by_value(cosine, -1.0, 1.0))
    return value, lambda upstream: -tf.math.divide_no_nan(upstream, tf.sqrt(sine2))


@tf.custom_gradient
def length(vectors: tf.Tensor):
    """(..., n) -> (...,) Euclidean norm."""
    value = tf.sqrt(tf.reduce_sum(tf.square(vectors), axis=-1))
    return (
        value,
        lambda upstream: tf.math.divide_no_nan(vectors, value[..., None]) * upstream[..., None],
    )


@tf.custom_gradient
def unit(vectors: tf.Tensor):
    """(..., n) -> (..., n) vectors of length 1; those shorter than `SHORTEST` become 0 and pass no
    gradient.
    """
    norm = tf.sqrt(tf.reduce_sum(tf.square(vectors), axis=-1, keepdims=True))
    inverse = tf.where(norm < SHORTEST, tf.zeros_like(norm), 1.0 / tf.maximum(norm, SHORTEST))
    value = vectors * inverse

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return inverse * (
            upstream - value * tf.reduce_sum(value * upstream, axis=-1, keepdims=True)
        )

    return value, gradient
