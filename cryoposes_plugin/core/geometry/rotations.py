"""Distances and means of rotations, float64."""

from __future__ import annotations

from typing import Optional

import numpy as np
from scipy.spatial.transform import Rotation


def angular_distance_rad(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Geodesic distance of rotations (..., 3, 3), radians in [0, pi].

    From the chord |A - B|_F = 2 sqrt(2) sin(d / 2), which keeps its precision at small angles.
    """
    chord = np.linalg.norm(
        np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64), axis=(-2, -1)
    )
    return 2.0 * np.arcsin(np.clip(chord / (2.0 * np.sqrt(2.0)), 0.0, 1.0))


def quaternion_distance_rad(products: np.ndarray) -> np.ndarray:
    """Geodesic distance 2 arccos |<p, q>|, radians, from inner products of unit quaternions."""
    return 2 * np.arccos(np.minimum(np.abs(products), 1.0))


def project_to_so3(matrices: np.ndarray) -> np.ndarray:
    """The rotations nearest to (..., 3, 3) matrices in the Frobenius norm (orthogonal Procrustes)."""
    u, _, vt = np.linalg.svd(np.asarray(matrices, dtype=np.float64))
    u[..., :, 2] *= np.linalg.det(u @ vt)[..., None]
    return u @ vt


def right_product(rotation: np.ndarray) -> np.ndarray:
    """(4, 4) matrix that takes the quaternion (w, x, y, z) of any A to that of A R, R (3, 3)."""
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    return np.array([[w, -x, -y, -z], [x, w, z, -y], [y, -z, w, x], [z, y, -x, w]])


def mean_rotation(rotations: np.ndarray, weights: Optional[np.ndarray] = None) -> np.ndarray:
    """Chordal mean of (N, 3, 3) rotations -> (3, 3)."""
    return project_to_so3(
        np.average(np.asarray(rotations, dtype=np.float64), axis=0, weights=weights)
    )
