"""Training of networks: recipes, sources of images, objectives, the training loop and its
validation.

The modules are imported when a name is used, as most of them import TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, List

#: What is meant to be used, and the module that it is in.
_PUBLIC = {
    "Augmentation": "augmentation",
    "Checkpoint": "checkpoint",
    "DistanceTask": "tasks",
    "Duration": "trainer",
    "Evaluation": "labels",
    "History": "history",
    "LabelledSource": "sources",
    "MixedSource": "sources",
    "PoseLabels": "labels",
    "PoseTask": "tasks",
    "Recipe": "recipe",
    "SimulatedSource": "sources",
    "Source": "sources",
    "Task": "tasks",
    "Trainer": "trainer",
    "Validation": "validation",
    "compute_dtype": "components",
    "load_checkpoint": "checkpoint",
    "make_optimizer": "components",
    "network_description": "components",
    "save_checkpoint": "checkpoint",
    "task_of": "tasks",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> List[str]:
    return sorted(_PUBLIC)
