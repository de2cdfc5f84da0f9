"""What an interrupted run goes on from: files beside the results, gone when the run is finished."""

from __future__ import annotations

import os
import re
import time
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Mapping

import numpy as np

from ..errors import UNREADABLE, InputError
from ..values import integer, parse_object, shown_error
from .atomic import TEMPORARY, atomic_path, remove
from .files import check_regular

SIMULATION, TRAINING, CHECKPOINT = "simulation_state.json", "training_state.json", "checkpoint.npz"
INFERENCE, REFINEMENT, EMBEDDING = (
    "inference_state.npz",
    "refinement_state.npz",
    "embedding_state.npz",
)
SEARCH_START, SEARCH_DETAIL, SEARCH_AXES = "start_{}.npz", "detail.npz", "axes.json"
_NAMES = (
    SIMULATION,
    TRAINING,
    CHECKPOINT,
    INFERENCE,
    REFINEMENT,
    EMBEDDING,
    SEARCH_DETAIL,
    SEARCH_AXES,
)
#: How often a run saves what it would go on from.
SAVE_SECONDS = 20.0
REDO = "delete this file, and what it stands for is done anew"
_STATE = re.compile(
    "|".join([*map(re.escape, _NAMES), r"start_\d+\.npz", rf".*{re.escape(TEMPORARY)}"])
)


class PeriodicSave:
    """Saves the state of a long run whenever `SAVE_SECONDS` have passed since the last time."""

    def __init__(self, save: Callable[[], None]):
        self._save, self._last = save, time.monotonic()

    def if_due(self) -> None:
        if time.monotonic() - self._last > SAVE_SECONDS:
            self.now()

    def now(self) -> None:
        self._save()
        self._last = time.monotonic()


def is_state(name: str) -> bool:
    """Whether a file of this name is what a run goes on from, or half-written, and no result."""
    return _STATE.fullmatch(name) is not None


def remove_state(folder) -> None:
    """Remove the state of a finished run, and what it left half-written, from its folder and from those inside it."""
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if is_state(name):
                remove(Path(place) / name)
        folders[:] = [name for name in folders if not is_state(name)]


def read_json(path, remedy: str) -> Dict[str, Any]:
    """An object of JSON as this program wrote it; InputError, with the remedy, for a file that is damaged."""
    path = Path(path)
    check_regular(path, str(path), remedy)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError, MemoryError) as error:
        raise InputError(f"{path} cannot be read ({shown_error(error)}); {remedy}.") from error
    return parse_object(text, str(path), remedy)


def read_arrays(path, like: Mapping[str, np.ndarray] = {}) -> Dict[str, np.ndarray]:
    """Arrays that `write_arrays` wrote; those of `like` must be there, of the same shape and kind. InputError else."""
    path = Path(path)
    check_regular(path, str(path), REDO)
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as saved:
            arrays = {name: saved[name] for name in saved.files}
    except (*UNREADABLE, MemoryError, TypeError) as error:
        raise damaged(path, shown_error(error)) from error
    for name, expected in like.items():
        found = arrays.get(name)
        if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
            raise damaged(path, f"its part {name} is not as it was written")
    return arrays


def rows_done(path, arrays: Mapping[str, np.ndarray], most: int) -> int:
    """The number of that name among the arrays, between 0 and `most`."""
    return integer(arrays["rows_done"].item(), f"{path}: rows_done", REDO, 0, most)


def damaged(path, why: str, remedy: str = REDO) -> InputError:
    return InputError(f"{path} is damaged ({why}); {remedy}.")


def _check_sizes(path: Path) -> None:
    """Arrays are stored as they are, so that none is larger than the file."""
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
            raise ValueError("its parts are larger than the file")


def write_arrays(path, arrays: Mapping[str, np.ndarray]) -> None:
    """One npz file, whole or absent."""
    with atomic_path(path) as part, open(part, "wb") as handle:
        np.savez(handle, **arrays)
