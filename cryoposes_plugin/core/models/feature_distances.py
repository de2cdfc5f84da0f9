"""Distances between images from their features: of batches while training (TensorFlow), of whole
sets in use (NumPy).

With c the cosine of the angle between two feature vectors f, g:

    cosine     d = 2 arccos c             (Banjac et al. 2021, appendix D) euclidean  d = |f - g|
    (there) trace      d = arccos((3 c - 1) / 2)  so that 3 c = 1 + 2 cos d = tr(A^T B), as of the
    nine numbers of a rotation
"""

from __future__ import annotations

from typing import Dict, Tuple

import numpy as np
import tensorflow as tf

from ..networks.safe_gradients import angle, length, unit

_TINY = 1e-12


def raw_features(outputs: Dict[str, tf.Tensor]) -> Tuple[tf.Tensor, ...]:
    """Features (B, F) from a network's outputs, and shifts if it gives them."""
    return (outputs["features"], outputs["shift"]) if "shift" in outputs else (outputs["features"],)


def pairs_of_batch(kind: str, features: tf.Tensor) -> tf.Tensor:
    """(B, F) -> (B, B) radians, with finite gradients."""
    if kind == "euclidean":
        return length(features[:, None] - features[None, :])
    cosine = cosines_of_batch(features)
    return 2.0 * angle(cosine) if kind == "cosine" else angle(0.5 * (3.0 * cosine - 1.0))


def cosines_of_batch(features: tf.Tensor) -> tf.Tensor:
    """(B, F) -> (B, B) cosines of the angles between the features of each pair."""
    directions = unit(features)
    return tf.matmul(directions, directions, transpose_b=True)


def distances(kind: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, F) and (K, F) -> (N, K) radians, float64; within [0, pi], except Euclidean ones."""
    a, b = (np.asarray(f, dtype=np.float64) for f in (first, second))
    if kind == "euclidean":
        squares = np.sum(a * a, axis=1)[:, None] + np.sum(b * b, axis=1)
        return np.sqrt(np.maximum(squares - 2 * a @ b.T, 0.0))
    cosine = _unit(a) @ _unit(b).T
    if kind == "cosine":
        return 2 * np.arccos(np.clip(cosine, 0.0, 1.0))
    if kind == "trace":
        return np.arccos(np.clip(0.5 * (3 * cosine - 1), -1.0, 1.0))
    raise ValueError(f"expected a distance 'cosine', 'euclidean' or 'trace', received {kind!r}")


def _unit(features: np.ndarray) -> np.ndarray:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), _TINY)
