"""Results of an inference in the making, saved now and then so that an interrupted run goes on where it stood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..io.run_directory import RunDirectory

STATE_NAME = "inference_state.npz"
DISPERSION, TRACE = "cryoposesDispersion", "cryoposesTrace"


@dataclass
class Results:
    """What is known of N particles after `batches_done` batches.

    rotations : (N, 3, 3). shifts_px : (N, 2), pixels of the model's images. at_edge : (N,), whether the shift lies at
    the edge of the search. correlation : (N,), with the reprojection. dispersion, trace : (N,).
    """

    rotations: np.ndarray
    shifts_px: np.ndarray
    at_edge: np.ndarray
    correlation: np.ndarray
    dispersion: np.ndarray
    trace: np.ndarray
    batches_done: np.ndarray

    @classmethod
    def empty(cls, number: int) -> Results:
        return cls(
            np.zeros((number, 3, 3)),
            np.zeros((number, 2)),
            np.zeros(number, dtype=bool),
            np.zeros(number),
            np.zeros(number),
            np.zeros(number),
            np.array(0),
        )

    @classmethod
    def load(cls, run: RunDirectory, number: int) -> Results:
        """What an interrupted run of the same config saved, or nothing done."""
        path = run.file(STATE_NAME)
        if not path.exists():
            return cls.empty(number)
        with np.load(path, allow_pickle=False) as state:
            results = cls(**{name: state[name] for name in state.files})
        return results if len(results.rotations) == number else cls.empty(number)

    def save(self, run: RunDirectory) -> None:
        with run.atomic(STATE_NAME) as part, open(part, "wb") as handle:
            np.savez(handle, **vars(self))
