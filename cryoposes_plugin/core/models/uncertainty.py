"""Two statistics of the Bingham distribution that the network's 4x4 matrix defines (Chung 2023, eq.
5 to 7).

The density of a unit quaternion q is proportional to exp(-q^T M q), with M the symmetric Bingham
matrix. With the eigenvalues l1 <= l2 <= l3 <= l4 of M, its mode is the eigenvector of l1, and the
dispersion coefficients along the other three are l1 - l2, l1 - l3 and l1 - l4, none above zero.
Zero means no preference, a large magnitude a sharp peak: the more negative, the more certain. The
statistics rank images; they are not angles.
"""

from __future__ import annotations

import numpy as np


def dispersion_coefficients(bingham_matrices: np.ndarray) -> np.ndarray:
    """(..., 4, 4) symmetric matrices -> (..., 3) float64 coefficients, ascending, <= 0 (eq. 5).

    Raises ValueError for another shape or values that are not finite. Adding a multiple of the
    identity to a matrix, or rotating it by an orthogonal one, changes nothing.
    """
    matrices = np.asarray(bingham_matrices, dtype=np.float64)
    if matrices.shape[-2:] != (4, 4):
        raise ValueError(f"expected matrices of shape (..., 4, 4), received {matrices.shape}")
    if not np.isfinite(matrices).all():
        raise ValueError("expected finite matrices, received NaN or infinity")
    eigenvalues = np.linalg.eigvalsh(0.5 * (matrices + np.swapaxes(matrices, -1, -2)))
    return (eigenvalues[..., :1] - eigenvalues[..., 1:])[..., ::-1]


def largest_dispersion(bingham_matrices: np.ndarray) -> np.ndarray:
    """(..., 4, 4) -> (...) float64, l1 - l2: the coefficient along the least certain direction (eq.
    6).
    """
    return dispersion_coefficients(bingham_matrices)[..., -1]


def total_dispersion(bingham_matrices: np.ndarray) -> np.ndarray:
    """(..., 4, 4) -> (...) float64, 3 l1 - l2 - l3 - l4: the sum over all directions (eq. 7)."""
    return dispersion_coefficients(bingham_matrices).sum(axis=-1)
