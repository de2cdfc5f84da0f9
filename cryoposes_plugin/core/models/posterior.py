"""Where a network places the rotation of an image: how wide the distribution is about the estimate,
and how much of it lies elsewhere (TensorFlow).
"""

from __future__ import annotations

import math
from typing import Dict, Optional, Tuple

import numpy as np
import tensorflow as tf

from ..networks.build import predicted_bingham_matrices
from ..networks.representations import nearest_rotations

#: What is farther from the estimate than this lies elsewhere.
REACH_RAD = math.radians(40.0)
#: Second moment about an axis of the rotation vector of a random rotation, rad^2: 2.30^2 / 3.
_RANDOM_RAD2 = 1.77
_TINY = 1e-6
#: sin(a) n of a rotation P by the angle a about n is the contraction of this with P.
_AXIAL = np.zeros((3, 3, 3), np.float32)
for _a, _i, _j in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _AXIAL[_a, _j, _i], _AXIAL[_a, _i, _j] = 0.5, -0.5


def posterior_of(
    outputs: Dict[str, tf.Tensor], grid: Optional[tf.Tensor]
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Covariance (B, 3, 3) of the rotation about the estimate, rad^2 in the image's frame, and the
    probability (B,) that it is elsewhere, from the outputs of a network.

    Neither is calibrated. A classifier over a grid (G, 3, 3) gives the second moment of the part of
    its distribution within `REACH_RAD` of the estimate, and the rest is elsewhere. Otherwise both
    follow from the Bingham matrix.
    """
    if grid is None:
        return bingham_posterior(predicted_bingham_matrices(outputs))
    return grid_posterior(nearest_rotations(outputs["matrix"]), outputs["grid"], grid)


def grid_posterior(
    estimate: tf.Tensor, logits: tf.Tensor, grid: tf.Tensor
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Second moment (B, 3, 3) of sin(a) n over the rotations exp(a [n]x) estimate of the grid (G, 3,
    3) within reach of the estimates (B, 3, 3), and the share (B,) of the others; logits (B, G).
    """
    flat = tf.reshape(grid, (-1, 9))
    probability = tf.nn.softmax(logits)
    trace = tf.matmul(tf.reshape(estimate, (-1, 9)), flat, transpose_b=True)
    near = tf.where(trace > 1.0 + 2.0 * math.cos(REACH_RAD), probability, 0.0)
    inside = tf.reduce_sum(near, axis=1)

    # sin(a) n is linear in the rotation: its second moment follows from that of the nine numbers.
    products = tf.reshape(flat[:, :, None] * flat[:, None, :], (-1, 81))
    moments = tf.reshape(tf.matmul(near, products), (-1, 9, 9))
    axial = tf.reshape(tf.einsum("aij,bjk->baik", _AXIAL, estimate), (-1, 3, 9))
    moment = tf.matmul(tf.matmul(axial, moments), axial, transpose_b=True)
    moment = tf.math.divide_no_nan(moment, inside[:, None, None])
    # About a spot without a rotation of the grid the width is unknown.
    unknown = (_RANDOM_RAD2 * tf.eye(3))[None]
    return tf.where(inside[:, None, None] > _TINY, moment, unknown), 1.0 - inside


def bingham_posterior(bingham_matrices: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """The same from Bingham matrices (B, 4, 4): at its mode the density exp(-q^T M q) is a Gaussian
    of variance 1 / (2 g) along a quaternion axis with eigenvalue gap g, and 2 / g in the angle.

    The variance ends at that of a random rotation. Elsewhere is s^2 / (s^2 + reach^2), s^2 the
    total variance.
    """
    values, vectors = tf.linalg.eigh(bingham_matrices)
    variance = 2.0 / (values[:, 1:] - values[:, :1] + 2.0 / _RANDOM_RAD2)
    mode = vectors[:, :, 0]
    # v q^-1 = (0, u / 2) to first order, for a unit quaternion v perpendicular to the mode q.
    w, x, y, z = tf.unstack(mode, axis=1)
    rows = [[-x, w, -z, y], [-y, z, w, -x], [-z, -y, x, w]]
    axes = tf.matmul(tf.stack([tf.stack(row, axis=1) for row in rows], axis=1), vectors[:, :, 1:])
    covariance = tf.einsum("bik,bk,bjk->bij", axes, variance, axes)
    total = tf.reduce_sum(variance, axis=1)
    return covariance, total / (total + REACH_RAD**2)
