"""In-plane rotation, mirroring and shifting of images, which change their poses in a known way
(TensorFlow).
"""

from __future__ import annotations

import math
from typing import Tuple

import tensorflow as tf


def mirror_where(
    flip: tf.Tensor, images: tf.Tensor, rotations: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Flip images (B, D, D) along x about D // 2 where (B,) flip is true; their rotations A become
    Ry(pi) A.
    """
    turned = tf.constant([[-1.0], [1.0], [-1.0]]) * rotations
    images = tf.where(flip[:, None, None], _flip(images, 2), images)
    return images, tf.where(flip[:, None, None], turned, rotations)


def rotation_about_z(angles_rad: tf.Tensor) -> tf.Tensor:
    """(B,) -> (B, 3, 3) rotations Rz."""
    cosine, sine, zero = tf.cos(angles_rad), tf.sin(angles_rad), tf.zeros_like(angles_rad)
    rows = [[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, zero + 1.0]]
    return tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)


def rotate(images: tf.Tensor, angles_rad: tf.Tensor) -> tf.Tensor:
    """Rotate images (B, D, D) counter-clockwise in (x, y) about D // 2 by (B,) angles.

    Quarter turns are exact. The rest, at most 45 degrees, is made of three shears by Fourier
    interpolation, which keep the noise white; pixels near the corners wrap around.
    """
    quarters = tf.round(angles_rad / (0.5 * math.pi))
    rest = angles_rad - quarters * (0.5 * math.pi)
    index = tf.cast(quarters, tf.int32) % 4
    quarter = tf.transpose(_flip(images, 1), (0, 2, 1))
    half = _flip(_flip(images, 1), 2)
    choices = tf.stack([images, quarter, half, tf.transpose(_flip(images, 2), (0, 2, 1))], axis=1)
    images = tf.gather(choices, index, batch_dims=1)
    along_x, along_y = -tf.tan(0.5 * rest), tf.sin(rest)
    return _shear_x(_shear_y(_shear_x(images, along_x), along_y), along_x)


def shift(images: tf.Tensor, shifts_px: tf.Tensor) -> tf.Tensor:
    """Move images (B, D, D) by (B, 2) pixels (x, y), by the Fourier shift theorem."""
    d = images.shape[1]
    kx = tf.constant([k / d for k in range(d // 2 + 1)])
    ky = tf.constant([(k if k < d - d // 2 else k - d) / d for k in range(d)])
    phase = (
        kx[None, None, :] * shifts_px[:, 0, None, None]
        + ky[None, :, None] * shifts_px[:, 1, None, None]
    )
    return tf.signal.irfft2d(tf.signal.rfft2d(images) * _phase_factor(phase), [d, d])


def _phase_factor(cycles: tf.Tensor) -> tf.Tensor:
    angle = -2.0 * math.pi * cycles
    return tf.complex(tf.cos(angle), tf.sin(angle))


def _flip(images: tf.Tensor, axis: int) -> tf.Tensor:
    """Reverse an axis about index D // 2; for even D, index 0 has no partner and stays in place."""
    return tf.roll(tf.reverse(images, [axis]), 1 - images.shape[axis] % 2, axis)


def _shear_x(images: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Move each row y by amount * (y - D // 2) pixels along x."""
    d = images.shape[1]
    rows = tf.range(d, dtype=tf.float32) - d // 2
    k = tf.constant([k / d for k in range(d // 2 + 1)])
    cycles = amount[:, None, None] * rows[None, :, None] * k[None, None, :]
    return tf.signal.irfft(tf.signal.rfft(images) * _phase_factor(cycles), [d])


def _shear_y(images: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    return tf.transpose(_shear_x(tf.transpose(images, (0, 2, 1)), amount), (0, 2, 1))
