"""Errors of estimated poses against true ones, particle by particle, and their summary."""

from __future__ import annotations

from typing import Dict, Optional

import numpy as np

from ..geometry.symmetry import symmetric_distance_rad

#: Poses with a smaller error than this count as correct.
FOUND_BELOW_DEG = 5.0


def angular_errors_deg(estimate: np.ndarray, truth: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(N,) angles in degrees between rotations A (N, 3, 3) and the nearest equivalent of the true
    ones, under the symmetry operations (G, 3, 3).
    """
    return np.rad2deg(symmetric_distance_rad(estimate, truth, group))


def shift_errors_angstrom(
    estimate_px: Optional[np.ndarray],
    estimate_pixel_size_angstrom: np.ndarray,
    truth_px: Optional[np.ndarray],
    truth_pixel_size_angstrom: np.ndarray,
) -> np.ndarray:
    """Distances in Å between estimated and true displacements of the same N particles.

    Parameters
    ----------
    estimate_px, truth_px : (N, 2) displacements, in pixels of their own images; None gives NaN.
    estimate_pixel_size_angstrom, truth_pixel_size_angstrom : (N,) pixel sizes of these images.

    Returns
    -------
    (N,) distances in Å.
    """
    estimate = np.asarray(estimate_px, dtype=np.float64) * np.reshape(
        estimate_pixel_size_angstrom, (-1, 1)
    )
    truth = np.asarray(truth_px, dtype=np.float64) * np.reshape(truth_pixel_size_angstrom, (-1, 1))
    return np.linalg.norm(estimate - truth, axis=1)


def summarise_angles(errors_deg: np.ndarray) -> Dict[str, float]:
    """Median, mean, 90th percentile (degrees) and the share below 5°."""
    return {
        **_summarise(errors_deg, "angular_error_deg"),
        "share_below_5_deg": float(np.mean(np.asarray(errors_deg) < FOUND_BELOW_DEG)),
    }


def summarise_shifts(errors_angstrom: np.ndarray) -> Dict[str, float]:
    """Median, mean and 90th percentile (Å)."""
    return _summarise(errors_angstrom, "shift_error_angstrom")


def _summarise(values: np.ndarray, name: str) -> Dict[str, float]:
    return {
        f"median_{name}": float(np.median(values)),
        f"mean_{name}": float(np.mean(values)),
        f"p90_{name}": float(np.percentile(values, 90)),
    }
