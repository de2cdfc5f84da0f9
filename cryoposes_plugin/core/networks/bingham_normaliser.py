"""The normalising constant of the Bingham distribution, and thus of the matrix Fisher distribution
(TensorFlow).
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from .safe_gradients import scaled_bessel_i0

_STEP, _LOW, _HIGH = 0.4, -30.0, 18.0


def _nodes() -> np.ndarray:
    """t in (0, 2), 2 - t and weights (3, n) of the trapezoidal rule in y, t = 2 / (1 + exp(-y)).

    In y the integrand has a width of order one at any concentration, so that the rule converges
    exponentially.
    """
    y = np.arange(_LOW, _HIGH, _STEP)
    t, rest = 2 / (1 + np.exp(-y)), 2 / (1 + np.exp(y))
    return np.stack([t, rest, 0.5 * t * rest * _STEP])


def log_normaliser(bingham_matrices: tf.Tensor) -> tf.Tensor:
    """(B, 4, 4) M -> (B,) logarithm of the mean of exp(-q^T M q) over all unit quaternions.

    With the eigenvalues l1 <= l2 <= l3 <= l4 of M it is

        -l1 + log 1/2 int_0^2 I0e((l3 - l2) t / 4) I0e((l4 - l1) (2 - t) / 4) exp(-(l2 - l1) t / 2)
        dt,

    Lee 2018 (theorem 3.2) for the matrix Fisher distribution of singular values s, s1 - s2 = (l3 -
    l2) / 2, s1 + s2 = (l4 - l1) / 2, s2 + s3 = (l2 - l1) / 2, with the growth of the Bessel
    functions taken out. Eigenvalues may be equal: neither value nor gradient divides by a gap. The
    rule is accurate to 1e-7, in float32 to 2e-5.
    """
    values = tf.linalg.eigvalsh(bingham_matrices)
    l1, l2, l3, l4 = (values[:, i, None] for i in range(4))
    t, rest, weight = (tf.constant(row[None], values.dtype) for row in _nodes())
    bessel = scaled_bessel_i0(0.25 * (l3 - l2) * t) * scaled_bessel_i0(0.25 * (l4 - l1) * rest)
    integral = 0.5 * tf.reduce_sum(weight * bessel * tf.exp(-0.5 * (l2 - l1) * t), axis=1)
    return tf.math.log(integral) - values[:, 0]
