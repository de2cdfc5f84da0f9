"""The whole state of a training run in one file: weights, optimizer, step and the state of every random generator."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

import keras
import numpy as np

from ..errors import InputError
from ..io.run_directory import atomic_path


def state_variables(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> List[keras.Variable]:
    """Every variable that training changes; `Model.variables` holds those of the dropout layers' generators too."""
    return [*network.variables, *optimizer.variables]


def save_checkpoint(path: Path, variables: List[keras.Variable], step: int) -> None:
    """Written under another name and renamed: whole or absent."""
    arrays = {f"variable{index}": keras.ops.convert_to_numpy(v) for index, v in enumerate(variables)}
    with atomic_path(path) as part:
        with open(part, "wb") as handle:
            np.savez(handle, step=np.int64(step), **arrays)


def load_checkpoint(path: Path, variables: List[keras.Variable]) -> Optional[int]:
    """Set the variables and return the step, or None where there is no checkpoint."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as saved:
        arrays = [saved[f"variable{index}"] for index in range(len(saved.files) - 1)]
        step = int(saved["step"])
    shapes = [tuple(v.shape) for v in variables]
    if [a.shape for a in arrays] != shapes:
        raise InputError(f"Checkpoint {path} belongs to another network; train into a new output folder.")
    for variable, array in zip(variables, arrays):
        variable.assign(array)
    return step
