"""Training of networks: recipes, sources of images, objectives, the training loop and its
validation.

The modules are imported when a name is used, as most of them import TensorFlow.
"""

from __future__ import annotations

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
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
    },
)
