"""Results of an inference in the making, saved now and then so that an interrupted run goes on where it stood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..io.run_directory import RunDirectory

STATE_NAME = "inference_state.npz"
DISPERSION, TRACE = "cryoposesDispersion", "cryoposesTrace"


@dataclass
class Results:
    """Of N particles: rotations (N, 3, 3), shifts in pixels of the model's images (N, 2), whether at the edge of the search
    (N,), correlation with the reprojection (N,), dispersion and trace (N,); the first `batches_done` batches are there."""

    rotations: np.ndarray
    shifts_px: np.ndarray
    at_edge: np.ndarray
    correlation: np.ndarray
    dispersion: np.ndarray
    trace: np.ndarray
    batches_done: np.ndarray

    @classmethod
    def empty(cls, number: int) -> "Results":
        return cls(
            np.zeros((number, 3, 3)),
            np.zeros((number, 2)),
            np.zeros(number, dtype=bool),
            np.zeros(number),
            np.zeros(number),
            np.zeros(number),
            np.array(0),
        )


