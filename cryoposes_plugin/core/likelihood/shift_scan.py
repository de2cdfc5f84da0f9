"""The gain of poses over a grid of shifts (TensorFlow).

TensorFlow multiplies: NumPy's library would put all cores on each product of each thread.
"""

from __future__ import annotations

from typing import Optional, Tuple

import tensorflow as tf


def _floats(*shape: Optional[int]) -> tf.TensorSpec:
    return tf.TensorSpec(shape, tf.float32)


@tf.function(
    input_signature=(_floats(None, 2), _floats(None, None), _floats(None, 2), _floats(None, 2))
    + (_floats(None, None),) * 3
)
def best_shifts(
    radians: tf.Tensor,
    slices: tf.Tensor,
    shifts_px: tf.Tensor,
    shift_grid_px: tf.Tensor,
    real: tf.Tensor,
    imaginary: tf.Tensor,
    modulation: tf.Tensor,
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Best gains (see `pose_likelihood`) of B poses over the grid of shifts, and which shifts these
    are: (B,) float32 and (B,) int32.

    Parameters
    ----------
    radians : (P, 2) points in radians per pixel.
    slices : of each pose, real parts and then imaginary parts, (B, 2 P).
    shifts_px : (B, 2), about which shifts are tried.
    shift_grid_px : (S, 2).
    real, imaginary, modulation : of the image of each pose, (B, P).
    """
    phase = -tf.matmul(shifts_px, radians, transpose_b=True)
    cosine, sine = modulation * tf.cos(phase), modulation * tf.sin(phase)
    x, x_im = tf.split(slices, 2, axis=1)
    m, m_im = x * cosine - x_im * sine, x * sine + x_im * cosine
    power = tf.reduce_sum(m * m + m_im * m_im, axis=1)

    # Re(conj(m0 exp(-i p)) y) = Re(z) cos p - Im(z) sin p with z = conj(m0) y and p = 2 pi k.t / D
    z = tf.concat([m * real + m_im * imaginary, m_im * real - m * imaginary], axis=1)
    waves = tf.matmul(radians, shift_grid_px, transpose_b=True)
    products = tf.matmul(z, tf.concat([tf.cos(waves), tf.sin(waves)], axis=0))

    best = tf.argmax(products, axis=1, output_type=tf.int32)
    height = tf.maximum(tf.reduce_max(products, axis=1), 0.0)
    return tf.math.divide_no_nan(height * height, power), best
