"""From numbers to orientations: the 10-D Bingham matrix and its mode, rotations and quaternions
(TensorFlow).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

#: Place of theta 1 to 10 in the upper triangle of L (Chung 2023, eq. 3).
_PLACES = ((0, 0), (0, 1), (0, 2), (0, 3), (3, 3), (1, 1), (1, 2), (1, 3), (2, 3), (2, 2))
#: Gaps of eigenvalues below this share of the mean eigenvalue count as degenerate in the gradient
#: of the mode.
_DEGENERATE_GAP = 1e-2


def _placement() -> np.ndarray:
    places = np.zeros((10, 16), dtype=np.float32)
    for k, (row, column) in enumerate(_PLACES):
        places[k, 4 * row + column] = 1.0
    return places


def triangular_matrix(theta: tf.Tensor) -> tf.Tensor:
    """(..., 10) -> (..., 4, 4) upper triangular L of Chung 2023, eq. 3."""
    flat = tf.matmul(tf.reshape(theta, (-1, 10)), tf.constant(_placement(), theta.dtype))
    return tf.reshape(flat, tf.concat([tf.shape(theta)[:-1], [4, 4]], axis=0))


def bingham_matrix(theta: tf.Tensor) -> tf.Tensor:
    """(..., 10) -> (..., 4, 4) symmetric positive semidefinite A = L L^T; its smallest eigenvector
    is the mode.
    """
    triangle = triangular_matrix(theta)
    return tf.matmul(triangle, triangle, transpose_b=True)


@tf.custom_gradient
def smallest_eigenvector(matrices: tf.Tensor):
    """(B, 4, 4) symmetric -> (B, 4) unit eigenvectors of the smallest eigenvalue: the QCQP of Chung
    2023, eq. 2.

    The sign is arbitrary. The exact derivative sum_i v_i v_i^T dA v_1 / (l_1 - l_i) explodes where
    eigenvalues meet; here a gap g enters as g / (g^2 + e^2) with e = 1 % of the mean eigenvalue,
    which is exact for gaps well above e and vanishes with the gap.
    """
    values, vectors = tf.linalg.eigh(matrices)
    mode = vectors[:, :, 0]

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        gaps = values[:, 1:] - values[:, :1]
        soft = _DEGENERATE_GAP * tf.reduce_mean(tf.abs(values), axis=1, keepdims=True) + 1e-12
        along = tf.einsum("bji,bj->bi", vectors[:, :, 1:], upstream)
        weights = -along * gaps / (gaps * gaps + soft * soft)
        left = tf.einsum("bji,bi->bj", vectors[:, :, 1:], weights)
        outer = left[:, :, None] * mode[:, None, :]
        return 0.5 * (outer + tf.transpose(outer, (0, 2, 1)))

    return mode, gradient


def rotation_quaternions(rotations: tf.Tensor) -> tf.Tensor:
    """(B, 3, 3) rotations -> (B, 4) unit quaternions (w, x, y, z), sign arbitrary; no gradient is
    meant to pass.

    The largest column of the 4x4 matrix 4 q q^T is taken, which is exact for every rotation.
    """
    m = [[rotations[:, i, j] for j in range(3)] for i in range(3)]
    trace = m[0][0] + m[1][1] + m[2][2]
    diagonal = [1.0 + trace] + [1.0 - trace + 2.0 * m[i][i] for i in range(3)]
    with_w = [m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]]
    pairs = {(i, j): m[i][j] + m[j][i] for i in range(3) for j in range(3) if i != j}
    columns = [tf.stack([diagonal[0], *with_w], axis=1)]
    for i in range(3):
        rest = [diagonal[i + 1] if j == i else pairs[(i, j)] for j in range(3)]
        columns.append(tf.stack([with_w[i], *rest], axis=1))
    stacked = tf.stack(columns, axis=1)
    largest = tf.argmax(tf.stack(diagonal, axis=1), axis=1)
    return tf.math.l2_normalize(tf.gather(stacked, largest, batch_dims=1), axis=1)


def quaternion_rotations(quaternions: tf.Tensor) -> tf.Tensor:
    """(B, 4) unit quaternions (w, x, y, z) -> (B, 3, 3) rotations; differentiable."""
    w, x, y, z = tf.unstack(quaternions, axis=1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)


def bingham_of_angular_gaussian(matrices: tf.Tensor) -> tf.Tensor:
    """(B, 4, 4) A of an angular central Gaussian, p(q) ~ (q^T A q)^-2 -> (B, 4, 4) Bingham matrix
    of the same peak.

    Near its mode p falls like exp(-2 (l_i / l_1 - 1) x_i^2), so that 2 A / l_1 has Lambda_i = -2
    (l_i / l_1 - 1) (Chung 2023, eq. 5: Lambda = l_1 - l_i of the returned matrix).
    """
    smallest = tf.linalg.eigvalsh(matrices)[:, :1]
    return 2.0 * matrices / tf.maximum(smallest, 1e-12)[:, :, None]
