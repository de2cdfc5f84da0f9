"""Covariances of poses: covariance.npz, which refinements write beside their particles, and what
stands for it without that file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import numpy as np

from ..errors import InputError
from ..types import AnyPath, ParticleTable
from .names import COVARIANCE_NAME
from .npz import read_npz


def read_covariance(particles: AnyPath, table: ParticleTable) -> Optional[np.ndarray]:
    """(N, 5, 5) covariances of (w, t) from the folder of a particle file, in the order of its table,
    w in radians in the image's frame and t in Å; None if there is no file or it has not all
    particles.
    """
    path = Path(particles).parent / COVARIANCE_NAME
    if not path.exists():
        return None
    remedy = "delete it, or refine the poses again"
    arrays = read_npz(path, str(path), remedy, required=("ids", "covariance"))
    ids, covariance = arrays["ids"], arrays["covariance"]
    if covariance.shape != (len(ids), 5, 5) or not np.isfinite(covariance).all():
        raise InputError(
            f"{path} has no finite covariance of shape (particles, 5, 5) (it has "
            f"{covariance.shape} for {len(ids)} particles); {remedy}."
        )

    order = np.argsort(ids, kind="stable")
    place = np.minimum(np.searchsorted(ids[order], table.ids), max(len(ids) - 1, 0))
    if not len(ids) or not np.array_equal(ids[order[place]], table.ids):
        return None
    return covariance[order[place]]


def covariance_of_errors(error_rad: np.ndarray, shift_error_angstrom: np.ndarray) -> np.ndarray:
    """(N, 5, 5) covariances that are equal in all directions, from root mean square errors (N,)."""
    covariance = np.zeros((len(error_rad), 5, 5))
    covariance[:, range(3), range(3)] = (error_rad**2 / 3)[:, None]
    covariance[:, range(3, 5), range(3, 5)] = (shift_error_angstrom**2 / 2)[:, None]
    return covariance
