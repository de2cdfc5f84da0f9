"""Changes of labelled images that change the label in a known way: turn, mirror, shift, noise (TensorFlow).

Images come here with their phases flipped already: a turned or mirrored image then needs no turned or mirrored CTF.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import tensorflow as tf

from .labels import PoseLabels


@dataclass(frozen=True)
class Augmentation:
    """What is done at random: turn by any angle, mirror one in two, shift and noise of these standard deviations."""

    rotation: bool
    mirror: bool
    shift_px: float
    noise: float

    def apply(
        self, images: tf.Tensor, labels: PoseLabels, seed: tf.Tensor
    ) -> Tuple[tf.Tensor, PoseLabels]:
        """Images (B, D, D) and their poses, changed alike; a function of the (2,) int32 seed alone."""
        number = tf.shape(images)[0]
        rotations, shifts_px = labels.rotations, labels.shifts_px
        if self.mirror:
            flip = tf.random.stateless_uniform((number,), seed + [0, 1]) < 0.5
            images, rotations = mirror_where(flip, images, rotations)
            shifts_px = tf.where(flip[:, None], shifts_px * tf.constant([-1.0, 1.0]), shifts_px)
        if self.rotation:
            angles = tf.random.stateless_uniform((number,), seed + [0, 2], -math.pi, math.pi)
            about_z = rotation_about_z(angles)
            images, rotations = turn(images, angles), tf.matmul(about_z, rotations)
            shifts_px = tf.linalg.matvec(about_z[:, :2, :2], shifts_px)
        if self.shift_px > 0:
            extra = self.shift_px * tf.random.stateless_normal((number, 2), seed + [0, 3])
            images, shifts_px = shift(images, extra), shifts_px + extra
        if self.noise > 0:
            images += self.noise * tf.random.stateless_normal(tf.shape(images), seed + [0, 4])
        return images, PoseLabels(rotations, shifts_px, labels.shift_known)


def mirror_where(
    flip: tf.Tensor, images: tf.Tensor, rotations: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Flip x about D // 2 where (B,) flip says so; A becomes Ry(pi) A."""
    turned = tf.constant([[-1.0], [1.0], [-1.0]]) * rotations
    images = tf.where(flip[:, None, None], _flip(images, 2), images)
    return images, tf.where(flip[:, None, None], turned, rotations)


def rotation_about_z(angles_rad: tf.Tensor) -> tf.Tensor:
    """(B,) -> (B, 3, 3) Rz."""
    cosine, sine, zero = tf.cos(angles_rad), tf.sin(angles_rad), tf.zeros_like(angles_rad)
    rows = [[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, zero + 1.0]]
    return tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)


def turn(images: tf.Tensor, angles_rad: tf.Tensor) -> tf.Tensor:
    """Turn images (B, D, D) counter-clockwise in (x, y) about D // 2 by (B,) angles.

    Quarter turns are exact; the rest, at most 45 degrees, is three shears by Fourier interpolation, which keep the
    noise white (what is near the corners wraps around).
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
    """Reverse an axis about index D // 2 (D even: index 0 has no partner and keeps its place)."""
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
