"""The files from which an interrupted run continues; they are removed when the run is finished."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

import numpy as np

from ..errors import InputError
from ..types import AnyPath
from ..values import integer, parse_object, shown_error
from .files import check_regular
from .folder import TEMPORARY, atomic_path, remove
from .npz import NUMBERS, TEXTS, read_npz

SIMULATION, TRAINING, CHECKPOINT = "simulation_state.json", "training_state.json", "checkpoint.npz"
INFERENCE, REFINEMENT = "inference_state.npz", "refinement_state.npz"
EMBEDDING = "embedding_state.npz"
#: Folder of what the chunks of a run have done.
CHUNKS = "chunks"
#: The model that a training starts from.
PARENT = "parent_state.json"
#: Images of the twin of a run, see `trust.twin`.
TWIN = "twin_state.mrcs"
SEARCH_START, SEARCH_DETAIL, SEARCH_AXES = "start_{}.npz", "detail_{}.npz", "axes.json"
_NAMES = (
    SIMULATION,
    TRAINING,
    CHECKPOINT,
    INFERENCE,
    REFINEMENT,
    EMBEDDING,
    CHUNKS,
    PARENT,
    TWIN,
    SEARCH_AXES,
)
_STATE = re.compile(
    "|".join([*map(re.escape, _NAMES), r"(start|detail)_\d+\.npz", rf".*{re.escape(TEMPORARY)}"])
)
#: How often a run saves its state.
SAVE_SECONDS = 20.0
REDO = "delete this file, and the run repeats that part"


class PeriodicSave:
    """Saves the state of a long run whenever `SAVE_SECONDS` have passed since the last time, or that
    many times what the last time took: the state of a large set is saved less often.

    save : writes the state. times_as_often : how much more often, for a state that costs little.
    """

    def __init__(self, save: Callable[[], None], times_as_often: float = 1.0):
        self._save, self._times, self._last = save, times_as_often, time.monotonic()
        self._took = 0.0

    def if_due(self) -> None:
        wait = SAVE_SECONDS * max(1 / self._times, self._took)
        if time.monotonic() - self._last > wait:
            self.now()

    def now(self) -> None:
        begun = time.monotonic()
        self._save()
        self._last = time.monotonic()
        self._took = self._last - begun


def is_state(name: str) -> bool:
    """Whether a file of this name is the state of a run, or half-written, and not a result."""
    return _STATE.fullmatch(name) is not None


def remove_state(folder: AnyPath) -> None:
    """Remove the state and half-written files of a finished run from its folder and below."""
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if is_state(name):
                remove(Path(place) / name)
        folders[:] = [name for name in folders if not is_state(name)]


def read_json(path: AnyPath, remedy: str) -> Dict[str, Any]:
    """A JSON object that this program wrote; InputError, with the remedy, for a damaged file."""
    path = Path(path)
    check_regular(path, str(path), remedy)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError, MemoryError) as error:
        raise InputError(f"{path} cannot be read ({shown_error(error)}); {remedy}.") from error
    return parse_object(text, str(path), remedy)


def read_arrays(path: AnyPath, like: Mapping[str, np.ndarray] = {}) -> Dict[str, np.ndarray]:
    """The arrays that `write_arrays` wrote.

    InputError if one of `like` is missing or has another shape or dtype.
    """
    arrays = read_npz(path, str(path), REDO, kinds=NUMBERS + TEXTS)
    for name, expected in like.items():
        found = arrays.get(name)
        if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
            raise damaged(path, f"its array {name} is missing or has another shape or type")
    return arrays


def write_arrays(path: AnyPath, arrays: Mapping[str, np.ndarray]) -> None:
    """One npz file, whole or absent."""
    with atomic_path(path) as part, open(part, "wb") as handle:
        np.savez(handle, **arrays)


def rows_done(path: AnyPath, arrays: Mapping[str, np.ndarray], most: int) -> int:
    """The number `rows_done` among the arrays, between 0 and `most`."""
    return integer(arrays["rows_done"].item(), f"{path}: rows_done", REDO, 0, most)


def damaged(path: AnyPath, why: str, remedy: str = REDO) -> InputError:
    return InputError(f"{path} is damaged ({why}); {remedy}.")
