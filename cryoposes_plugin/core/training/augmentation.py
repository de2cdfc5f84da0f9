"""Random rotation, mirroring, shifting and noise of labelled images, with their labels
(TensorFlow).

The CTF of the images is corrected before: a rotated or mirrored image then needs no rotated or
mirrored CTF.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional, Tuple

import tensorflow as tf

from ..imaging.draws import BatchShare
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
        self,
        images: tf.Tensor,
        labels: PoseLabels,
        seed: tf.Tensor,
        share: Optional[BatchShare] = None,
    ) -> Tuple[tf.Tensor, PoseLabels]:
        """Augmented images (B, D, D) with their poses, a function of the seed alone.

        Parameters
        ----------
        images : (B, D, D).
        labels : their poses.
        seed : (2,) int32.
        share : of a batch that the images are; None for a whole one.
        """
        drawn = (share or BatchShare(tf.shape(images)[0])).drawn
        rotations, shifts_px = labels.rotations, labels.shifts_px

        if self.centred:
            images, shifts_px = shift(images, -shifts_px), tf.zeros_like(shifts_px)

        if self.mirror:
            flip = drawn(lambda n: tf.random.stateless_uniform((n,), seed + [0, 1])) < 0.5
            images, rotations = mirror_where(flip, images, rotations)
            shifts_px = tf.where(flip[:, None], shifts_px * tf.constant([-1.0, 1.0]), shifts_px)

        if self.rotation:
            angles = drawn(
                lambda n: tf.random.stateless_uniform((n,), seed + [0, 2], -math.pi, math.pi)
            )
            about_z = rotation_about_z(angles)
            images, rotations = rotate(images, angles), tf.matmul(about_z, rotations)
            shifts_px = tf.linalg.matvec(about_z[:, :2, :2], shifts_px)

        if self.shift_px > 0:
            extra = self.shift_px * drawn(
                lambda n: tf.random.stateless_normal((n, 2), seed + [0, 3])
            )
            images, shifts_px = shift(images, extra), shifts_px + extra

        if self.noise > 0:
            images += self.noise * drawn(
                lambda n: tf.random.stateless_normal((n, *images.shape[1:]), seed + [0, 4])
            )

        return images, labels._replace(rotations=rotations, shifts_px=shifts_px)
