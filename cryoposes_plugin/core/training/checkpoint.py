"""The state of a training run in one file: weights, optimizer, step and the state of every random
generator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Mapping, Optional

import keras
import numpy as np

from ..errors import InputError
from ..io.state_files import REDO, read_arrays, write_arrays
from ..values import integer, real

_VARIABLE, _PENDING = "variable", "pending_"


def state_variables(
    network: keras.Model, optimizer: keras.optimizers.Optimizer
) -> List[keras.Variable]:
    """Every variable that training changes, those of the random generators of dropout layers
    included.
    """
    return [*network.variables, *optimizer.variables]


@dataclass(frozen=True)
class Checkpoint:
    """State of a training beside its variables.

    step, seconds : steps done and the time that they took. history : text of its history.
    pending : losses of the steps since the last row of the history, by name.
    """

    step: int = 0
    seconds: float = 0.0
    history: str = ""
    pending: Mapping[str, np.ndarray] = field(default_factory=dict)

    def losses(self) -> List[Mapping[str, float]]:
        """The pending losses, step by step."""
        return [dict(zip(self.pending, values)) for values in zip(*self.pending.values())]


def save_checkpoint(path: Path, variables: List[keras.Variable], checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the file appears whole or not at all."""
    arrays = {
        f"{_VARIABLE}{index}": keras.ops.convert_to_numpy(v) for index, v in enumerate(variables)
    }
    arrays.update({_PENDING + name: values for name, values in checkpoint.pending.items()})
    known = {name: np.array(getattr(checkpoint, name)) for name in ("step", "seconds", "history")}
    write_arrays(path, {**known, **arrays})


def load_checkpoint(path: Path, variables: List[keras.Variable]) -> Optional[Checkpoint]:
    """Set the variables and return the checkpoint; None if there is none."""
    if not path.exists():
        return None
    saved = read_arrays(path, {"step": np.array(0), "seconds": np.array(0.0)})
    arrays = [value for name, value in saved.items() if name.startswith(_VARIABLE)]
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise InputError(
            f"Checkpoint {path} belongs to another network; train into a new output folder."
        )

    step = integer(saved["step"].item(), f"{path}: step", REDO, 0)
    seconds = real(saved["seconds"].item(), f"{path}: seconds", REDO, 0.0)
    for variable, array in zip(variables, arrays):
        variable.assign(array)

    pending = {
        name[len(_PENDING) :]: value for name, value in saved.items() if name.startswith(_PENDING)
    }
    return Checkpoint(step, seconds, str(saved.get("history", "")), pending)
