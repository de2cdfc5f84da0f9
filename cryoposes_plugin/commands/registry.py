"""The commands that write a run, by name. To add one: a folder beside this file, and its line here.

Plain enough for Python 3.8 and free of TensorFlow, because Scipion's GUI imports it.
"""

from __future__ import annotations

import importlib
from typing import Any, Dict, Type

from .compare.config import CompareConfig
from .config import Config
from .filter.config import FilterConfig
from .infer.config import InferConfig
from .initial_volume.config import InitialVolumeConfig
from .iterate.config import IterateConfig
from .reconstruct.config import ReconstructConfig
from .recover.config import RecoverConfig
from .refine.config import RefineConfig
from .simulate.config import SimulateConfig
from .train.config import TrainConfig

CONFIGS: Dict[str, Type[Config]] = {
    c.command: c
    for c in (
        SimulateConfig,
        InitialVolumeConfig,
        TrainConfig,
        InferConfig,
        RefineConfig,
        IterateConfig,
        RecoverConfig,
        FilterConfig,
        ReconstructConfig,
        CompareConfig,
    )
}
#: What the command line says of each.
DESCRIPTIONS = {
    "simulate": "make projections of one or several volumes, with CTF, shifts and noise",
    "initial-volume": "find a first volume and first poses from images alone",
    "train": "train a network that estimates poses",
    "infer": "estimate poses and their uncertainty",
    "refine": "refine poses against a volume, to the limit that the noise sets",
    "iterate": "refine and reconstruct in turns, from a map cut at low resolution",
    "recover": "recover rotations from pairwise distances",
    "filter": "split a particle set by uncertainty",
    "reconstruct": "reconstruct a volume, its half maps and their FSC",
    "compare": "compare two sets of poses",
}


def module_of(command: str) -> Any:
    """The module with `check(config)` and `run(config, run)` of a command, imported when it is needed."""
    return importlib.import_module(f"{_folder(command)}.run")


def pictures_module(command: str) -> Any:
    """The module with `pictures(folder, config)` of a command, imported when it is needed."""
    return importlib.import_module(f"{_folder(command)}.pictures")


def _folder(command: str) -> str:
    return f"{__package__}.{command.replace('-', '_')}"
