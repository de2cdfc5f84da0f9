"""Results of an inference in the making, saved now and then so that an interrupted run goes on where it stood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.io.state_files import INFERENCE, read_arrays, rows_done, write_arrays
from ..run_directory import RunDirectory

DISPERSION, TRACE = "cryoposesDispersion", "cryoposesTrace"
#: Both of an image that tells nothing: no orientation is likelier than another.
UNCERTAIN = 0.0


@dataclass
class Results:
    """What is known of the first `rows_done` of N particles, in the order of the batches.

    rotations : (N, 3, 3). shifts_px : (N, 2), pixels of the model's images. at_edge : (N,), whether the shift lies at
    the edge of the search. correlation : (N,), with the reprojection. dispersion, trace : (N,).
    """

    rotations: np.ndarray
    shifts_px: np.ndarray
    at_edge: np.ndarray
    correlation: np.ndarray
    dispersion: np.ndarray
    trace: np.ndarray
    rows_done: np.ndarray

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
        path, empty = run.file(INFERENCE), cls.empty(number)
        if not path.exists():
            return empty
        arrays = read_arrays(path, vars(empty))
        rows_done(path, arrays, number)
        return cls(**{name: arrays[name] for name in vars(empty)})

    def save(self, run: RunDirectory) -> None:
        write_arrays(run.file(INFERENCE), vars(self))
