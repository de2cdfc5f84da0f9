"""Covariances of poses: covariance.npz beside the particles whose poses were estimated, and what
stands for it without that file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import numpy as np

from ..errors import InputError
from ..scores import COVARIANCE
from ..texts import AnyTexts, Texts, formatted, numbers_between
from ..types import AnyPath, ParticleTable
from ..values import require_finite, shown
from .folder import Folder
from .names import COVARIANCE_NAME
from .npz import read_npz

#: Places of the 15 numbers of a text in a covariance.
_UPPER = np.triu_indices(5)


def read_covariance(particles: AnyPath, table: ParticleTable) -> Optional[np.ndarray]:
    """(N, 5, 5) covariances of (w, t), in the order of a table, w in radians in the image's frame
    and t in Å.

    They are those of the table's column, otherwise of covariance.npz in the folder of the particle
    file; None if there is neither or the file has not all particles.
    """
    if COVARIANCE in table.extra:
        return covariance_of_texts(table.extra[COVARIANCE], table.ids, str(particles))
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


def covariance_texts(covariance: np.ndarray) -> Texts:
    """(N,) texts of covariances (N, 5, 5): the 15 numbers of the upper triangle, row by row, with "/"
    between them. So every program that passes on a particle's columns passes on its covariance.
    """
    return formatted("/".join(["%.6g"] * 15), covariance[:, _UPPER[0], _UPPER[1]])


def covariance_of_texts(texts: AnyTexts, ids: np.ndarray, source: str) -> np.ndarray:
    """(N, 5, 5) of `covariance_texts`; InputError for a text that is none.

    Parameters
    ----------
    texts : (N,).
    ids : (N,) of the particles.
    source : names the particles in the sentence.
    """
    numbers = numbers_between(texts, 15)
    wrong = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(wrong):
        raise InputError(
            f"Particle {ids[wrong[0]]} of {source} has {COVARIANCE} = "
            f"{shown(str(texts[wrong[0]]))}, not 15 numbers; remove the column, or refine the "
            "poses again."
        )
    covariance = np.zeros((len(ids), 5, 5))
    covariance[:, _UPPER[0], _UPPER[1]] = numbers
    return covariance + np.triu(covariance, 1).swapaxes(1, 2)


def write_covariances(folder: Folder, ids: np.ndarray, covariance: np.ndarray) -> None:
    """Write covariance.npz into a folder: ids (N,), and covariance (N, 5, 5) of (w, t), w in radians
    in the image's frame (A = exp([w]x) A^), t in Å.
    """
    require_finite(covariance, str(folder.file(COVARIANCE_NAME)))
    with folder.atomic(COVARIANCE_NAME) as part, open(part, "wb") as handle:
        np.savez(handle, ids=ids, covariance=covariance)


def covariance_of_errors(error_rad: np.ndarray, shift_error_angstrom: np.ndarray) -> np.ndarray:
    """(N, 5, 5) covariances that are equal in all directions, from root mean square errors (N,)."""
    covariance = np.zeros((len(error_rad), 5, 5))
    covariance[:, range(3), range(3)] = (error_rad**2 / 3)[:, None]
    covariance[:, range(3, 5), range(3, 5)] = (shift_error_angstrom**2 / 2)[:, None]
    return covariance
