"""The whole state of a training run in one file: weights, optimizer, step and the state of every random generator."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

import keras
import numpy as np

from ..errors import InputError
from ..gate import integer
from ..io.run_state import REDO, read_arrays, write_arrays


def state_variables(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> List[keras.Variable]:
    """Every variable that training changes; `Model.variables` holds those of the dropout layers' generators too."""
    return [*network.variables, *optimizer.variables]


def save_checkpoint(path: Path, variables: List[keras.Variable], step: int) -> None:
    """Written under another name and renamed: whole or absent."""
    arrays = {f"variable{index}": keras.ops.convert_to_numpy(v) for index, v in enumerate(variables)}
    write_arrays(path, {"step": np.array(step), **arrays})


def load_checkpoint(path: Path, variables: List[keras.Variable]) -> Optional[int]:
    """Set the variables and return the step, or None where there is no checkpoint."""
    if not path.exists():
        return None
    saved = read_arrays(path, {"step": np.array(0)})
    arrays = [saved.get(f"variable{index}") for index in range(len(saved) - 1)]
    if [None if a is None else a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise InputError(f"Checkpoint {path} belongs to another network; train into a new output folder.")
    step = integer(saved["step"].item(), f"{path}: step", REDO, 0)
    for variable, array in zip(variables, arrays):
        variable.assign(array)
    return step
