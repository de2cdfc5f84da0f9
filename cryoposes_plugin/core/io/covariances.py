"""The reader of covariance.npz, which refinements write beside their particles."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import numpy as np

from ..errors import InputError
from ..types import AnyPath, ParticleTable
from .npz import read_npz


def read_covariance(path: AnyPath, table: ParticleTable) -> Optional[np.ndarray]:
    """(N, 5, 5) covariances of (w, t) in the order of the table, w in radians in the image's frame
    and t in Å; None if there is no file or it has not all particles.
    """
    if not Path(path).exists():
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
