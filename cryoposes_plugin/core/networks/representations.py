"""Rotations from the numbers that a network gives, by five representations with finite gradients
(TensorFlow).

Every representation also has a Bingham matrix: the symmetric 4 x 4 matrix M of a Bingham density
exp(-q^T M q) over quaternions, whose mode is the rotation.
"""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import tensorflow as tf

from .quaternions import (
    bingham_matrix,
    quaternion_rotations,
    rotation_quaternions,
    smallest_eigenvector,
)
from .safe_gradients import unit

#: Number of values that represent a rotation.
NUMBERS = {"bingham10": 10, "svd9": 9, "gram-schmidt6": 6, "quaternion": 4, "axis-angle": 3}
#: Added to the diagonal of the Bingham matrix of `bingham10` to keep it definite.
_FLOOR = 1e-4
#: Sums of singular values below this count as degenerate in the gradient: there the nearest
#: rotation is not unique.
_SMALLEST_SUM = 1e-6
_TINY = 1e-12


def rotations_of(representation: str, numbers: tf.Tensor) -> tf.Tensor:
    """(..., n) -> (..., 3, 3) rotations."""
    shape = tf.shape(numbers)[:-1]
    flat = _ROTATIONS[representation](tf.reshape(numbers, (-1, NUMBERS[representation])))
    return tf.reshape(flat, tf.concat([shape, [3, 3]], axis=0))


def bingham_matrices_of(representation: str, numbers: tf.Tensor) -> tf.Tensor:
    """(..., n) -> (..., 4, 4) Bingham matrices.

    Their width is learned if the loss is a likelihood. Otherwise it ranks images at best: a longer
    vector of numbers means a sharper peak, and the peaks of `gram-schmidt6` and `axis-angle` all
    have the same width.
    """
    shape = tf.shape(numbers)[:-1]
    flat = _BINGHAM_MATRICES[representation](tf.reshape(numbers, (-1, NUMBERS[representation])))
    return tf.reshape(flat, tf.concat([shape, [4, 4]], axis=0))


@tf.custom_gradient
def nearest_rotations(matrices: tf.Tensor):
    """(B, 3, 3) -> R = U diag(1, 1, det(U V^T)) V^T, nearest in the Frobenius norm (Levinson et al.
    2020).

    With the signed singular values s (s_3 times the determinant) and dM = U X V^T, dR = U W V^T, V
    its last column times the determinant: W_ij = (X_ij - X_ji) / (s_i + s_j). It is finite if
    singular values are equal, as they are at the optimum; the nearest rotation jumps only where two
    of them cancel.
    """
    singular, u, v = tf.linalg.svd(matrices)
    sign = tf.linalg.det(tf.matmul(u, v, transpose_b=True))
    signs = tf.stack([tf.ones_like(sign), tf.ones_like(sign), sign], axis=1)
    v, signed = v * signs[:, None, :], singular * signs

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        inner = tf.matmul(tf.matmul(u, upstream, transpose_a=True), v)
        sums = signed[:, :, None] + signed[:, None, :]
        inverse = sums / (sums * sums + _SMALLEST_SUM**2)
        return tf.matmul(
            tf.matmul(u, (inner - tf.transpose(inner, (0, 2, 1))) * inverse), v, transpose_b=True
        )

    return tf.matmul(u, v, transpose_b=True), gradient


def gram_schmidt_rotations(numbers: tf.Tensor) -> tf.Tensor:
    """(B, 6) -> (B, 3, 3): two vectors, orthogonalised, are the first two columns (Zhou et al.
    2019).

    A column that they do not determine is some unit vector perpendicular to the others; zeros give
    the identity.
    """
    first = _or_else(unit(numbers[:, :3]), tf.constant([[1.0, 0.0, 0.0]], numbers.dtype))
    rest = _perpendicular(unit(numbers[:, 3:]), first)
    axis = tf.one_hot(tf.argmin(tf.abs(first), axis=1), 3, dtype=numbers.dtype)
    second = _or_else(unit(rest), unit(_perpendicular(axis, first)))
    return tf.stack([first, second, tf.linalg.cross(first, second)], axis=2)


def _perpendicular(vectors: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
    return vectors - tf.reduce_sum(first * vectors, axis=1, keepdims=True) * first


def _or_else(directions: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Directions (B, 3), with the others in place of those that are zero."""
    return tf.where(tf.reduce_any(directions != 0, axis=1, keepdims=True), directions, others)


def axis_angle_rotations(vectors: tf.Tensor) -> tf.Tensor:
    """(B, 3) rotation vectors, radians -> (B, 3, 3), R = I + sin(t)/t [r]x + (1 - cos t)/t^2 [r]x^2
    (Rodrigues).
    """
    angle = tf.sqrt(tf.reduce_sum(vectors * vectors, axis=1) + _TINY)[:, None, None]
    x, y, z = tf.unstack(vectors, axis=1)
    zero = tf.zeros_like(x)
    rows = [[zero, -z, y], [z, zero, -x], [-y, x, zero]]
    cross = tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)
    half = tf.sin(0.5 * angle) / (0.5 * angle)
    return (
        tf.eye(3, dtype=vectors.dtype)
        + tf.sin(angle) / angle * cross
        + 0.5 * half * half * tf.matmul(cross, cross)
    )


def davenport_matrices(matrices: tf.Tensor) -> tf.Tensor:
    """(B, 3, 3) F -> (B, 4, 4) K with q^T K q = tr(F^T R(q)) for every unit quaternion q = (w, x,
    y, z).
    """
    f = [[matrices[:, i, j] for j in range(3)] for i in range(3)]
    trace = f[0][0] + f[1][1] + f[2][2]
    with_w = [f[2][1] - f[1][2], f[0][2] - f[2][0], f[1][0] - f[0][1]]
    rows = [tf.stack([trace, *with_w], axis=1)]
    for i in range(3):
        rest = [f[i][j] + f[j][i] - (trace if i == j else 0.0) for j in range(3)]
        rows.append(tf.stack([with_w[i], *rest], axis=1))
    return tf.stack(rows, axis=1)


def _definite_bingham_matrices(numbers: tf.Tensor) -> tf.Tensor:
    return bingham_matrix(numbers) + _FLOOR * tf.eye(4, dtype=numbers.dtype)


def _outer(vectors: tf.Tensor) -> tf.Tensor:
    return vectors[:, :, None] * vectors[:, None, :]


def _within_pi(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors with every component in (-pi, pi), as in Lian 2022, section 3.5."""
    return 3.141592653589793 * tf.tanh(vectors / 3.141592653589793)


def _by_quaternion(rotate: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Bingham matrices -q q^T, which all have the same width."""
    return lambda numbers: -_outer(tf.stop_gradient(rotation_quaternions(rotate(numbers))))


def _quaternion_rotations(numbers: tf.Tensor) -> tf.Tensor:
    """Zeros give the identity."""
    return quaternion_rotations(unit(numbers))


def _bounded_axis_angle(numbers: tf.Tensor) -> tf.Tensor:
    return axis_angle_rotations(_within_pi(numbers))


def _as_matrices(numbers: tf.Tensor) -> tf.Tensor:
    return tf.reshape(numbers, (-1, 3, 3))


_ROTATIONS: Dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "bingham10": lambda numbers: quaternion_rotations(
        smallest_eigenvector(_definite_bingham_matrices(numbers))
    ),
    "svd9": lambda numbers: nearest_rotations(_as_matrices(numbers)),
    "gram-schmidt6": gram_schmidt_rotations,
    "quaternion": _quaternion_rotations,
    "axis-angle": _bounded_axis_angle,
}
_BINGHAM_MATRICES: Dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "bingham10": _definite_bingham_matrices,
    "svd9": lambda numbers: -davenport_matrices(_as_matrices(numbers)),
    "gram-schmidt6": _by_quaternion(gram_schmidt_rotations),
    "quaternion": lambda numbers: -_outer(numbers),
    "axis-angle": _by_quaternion(_bounded_axis_angle),
}


def best_hypothesis(outputs: Dict[str, tf.Tensor]) -> Tuple[tf.Tensor, tf.Tensor]:
    """Rotation (B, 3, 3) and Bingham matrix (B, 4, 4) of the most probable of a network's
    hypotheses (B, H).
    """
    rotations, bingham_matrices = outputs["rotations"], outputs["bingham_matrices"]
    if "scores" not in outputs:
        return rotations[:, 0], bingham_matrices[:, 0]
    best = tf.argmax(outputs["scores"], axis=1)
    return tf.gather(rotations, best, batch_dims=1), tf.gather(bingham_matrices, best, batch_dims=1)
