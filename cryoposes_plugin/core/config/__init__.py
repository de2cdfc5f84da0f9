"""What each command can be told: one frozen dataclass a command, one file each.

The metadata of a field is the single source of the command line's help and of the form's help. A config is
written as `config.json` into the run's folder; its digest says whether a run may be resumed.
Plain enough for Python 3.8, because Scipion's GUI imports it.
"""

from __future__ import annotations

from typing import Dict, Type

from .base import SCHEMA_VERSION, THREAD_VARIABLES, Config, field_length, field_type, option
from .compare import CompareConfig
from .filter import FilterConfig
from .imaging import ImagingConfig
from .infer import InferConfig
from .initial_volume import InitialVolumeConfig
from .iterate import IterateConfig
from .reconstruct import ReconstructConfig
from .recover import RecoverConfig
from .refine import RefineConfig
from .simulate import SimulateConfig
from .train import TrainConfig

__all__ = [
    "CONFIGS",
    "SCHEMA_VERSION",
    "THREAD_VARIABLES",
    "CompareConfig",
    "Config",
    "FilterConfig",
    "ImagingConfig",
    "InferConfig",
    "InitialVolumeConfig",
    "IterateConfig",
    "ReconstructConfig",
    "RefineConfig",
    "RecoverConfig",
    "SimulateConfig",
    "TrainConfig",
    "field_length",
    "field_type",
    "option",
]

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
