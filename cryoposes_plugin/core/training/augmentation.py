"""Random rotation, mirroring, shifting and noise of labelled images, with their labels
(TensorFlow).

The CTF of the images is corrected before: a rotated or mirrored image then needs no rotated or
mirrored CTF.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import tensorflow as tf

from ..imaging.transforms import mirror_where, rotate, rotation_about_z, shift
from .labels import PoseLabels


@dataclass(frozen=True)
class Augmentation:
    """Rotation by a random angle, mirroring of every second image, Gaussian shifts and noise.

    rotation, mirror : whether images are rotated, and mirrored.
    shift_px, noise : standard deviations of the shifts along each axis and of the noise.
    centred : whether the particles are moved to the centre, by their shifts, before.
    """

    rotation: bool
    mirror: bool
    shift_px: float
    noise: float
    centred: bool = False

    def apply(
        self, images: tf.Tensor, labels: PoseLabels, seed: tf.Tensor
    ) -> Tuple[tf.Tensor, PoseLabels]:
        """Augmented images (B, D, D) with their poses, a function of the seed, (2,) int32, alone."""
        number = tf.shape(images)[0]
        rotations, shifts_px = labels.rotations, labels.shifts_px

        if self.centred:
            images, shifts_px = shift(images, -shifts_px), tf.zeros_like(shifts_px)

        if self.mirror:
            flip = tf.random.stateless_uniform((number,), seed + [0, 1]) < 0.5
            images, rotations = mirror_where(flip, images, rotations)
            shifts_px = tf.where(flip[:, None], shifts_px * tf.constant([-1.0, 1.0]), shifts_px)

        if self.rotation:
            angles = tf.random.stateless_uniform((number,), seed + [0, 2], -math.pi, math.pi)
            about_z = rotation_about_z(angles)
            images, rotations = rotate(images, angles), tf.matmul(about_z, rotations)
            shifts_px = tf.linalg.matvec(about_z[:, :2, :2], shifts_px)

        if self.shift_px > 0:
            extra = self.shift_px * tf.random.stateless_normal((number, 2), seed + [0, 3])
            images, shifts_px = shift(images, extra), shifts_px + extra

        if self.noise > 0:
            images += self.noise * tf.random.stateless_normal(tf.shape(images), seed + [0, 4])

        return images, labels._replace(rotations=rotations, shifts_px=shifts_px)
