"""The commands that write a run, by name. A new one needs a folder beside this file and a line
here.

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
from .recover_distances.config import RecoverDistancesConfig
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
        RecoverDistancesConfig,
        FilterConfig,
        ReconstructConfig,
        CompareConfig,
    )
}
#: Descriptions on the command line.
DESCRIPTIONS = {
    "simulate": "simulate particle images of one or several volumes, with CTF, shifts and noise",
    "initial-volume": "determine a first volume and first poses from the particles alone",
    "train": "train a network that estimates poses and their uncertainty",
    "infer": "estimate the poses of particles and their uncertainty with a trained network",
    "refine": "refine poses against a volume, to noise-limited accuracy",
    "iterate": "refine poses and reconstruct alternately, from a low-pass filtered volume",
    "recover": "recover poses from the distances between images that a network estimates",
    "recover-distances": "recover rotations from a file of distances between particles",
    "filter": "separate confident particles from the rest",
    "reconstruct": "reconstruct a volume and two half maps, and compute their FSC",
    "compare": "compare estimated poses with true poses",
}


def module_of(command: str) -> Any:
    """The module with `check(config)` and `run(config, run)` of a command, imported when it is
    needed.
    """
    return importlib.import_module(f"{_folder(command)}.run")


def pictures_module(command: str) -> Any:
    """The module with `pictures(folder, config)` of a command, imported when it is needed."""
    return importlib.import_module(f"{_folder(command)}.pictures")


def _folder(command: str) -> str:
    return f"{__package__}.{command.replace('-', '_')}"
