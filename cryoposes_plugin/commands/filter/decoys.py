"""The scores of the decoys, which the run that estimated the poses leaves beside its particles."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Optional

import numpy as np

from ...core.errors import InputError
from ...core.io.names import DECOYS_NAME
from ...core.io.npz import NUMBERS, TEXTS, read_npz
from ...core.scores import JUNK
from ...core.types import AnyPath
from .config import FilterConfig

logger = logging.getLogger(__name__)

_LARGEST_BYTES = 2**30


def decoy_scores(folder: AnyPath) -> Optional[np.ndarray]:
    """(M,) probabilities of junk of the decoys in a folder; None, and a warning if the file is
    damaged, where there are none.
    """
    path = Path(folder) / DECOYS_NAME
    if not path.is_file():
        return None

    subject, remedy = f"{path}", "the picture shows no decoys"
    try:
        found = read_npz(
            path,
            subject,
            remedy,
            required=("score_decoys",),
            wanted=("score_decoys",),
            largest_bytes=_LARGEST_BYTES,
            kinds=NUMBERS + TEXTS,
        )["score_decoys"]
        if found.dtype.kind not in NUMBERS or found.ndim != 1:
            raise InputError(f"{subject} holds no list of numbers; {remedy}.")
        if not ((found >= 0) & (found <= 1)).all():
            raise InputError(f"{subject} holds values that are no probabilities; {remedy}.")
    except InputError as error:
        logger.warning("%s", error)
        return None
    return found.astype(np.float64)


def decoys_beside(config: FilterConfig, score: str) -> Optional[np.ndarray]:
    """(M,) scores of the decoys beside the particles; None for another score than the probability
    of junk.
    """
    return decoy_scores(Path(str(config.particles)).parent) if score == JUNK else None
