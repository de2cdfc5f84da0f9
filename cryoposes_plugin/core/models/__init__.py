"""Trained networks in use: a model folder is read, images go in, poses or distances come out.

The modules are imported when a name is used, as most of them import TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, List

#: What is meant to be used, and the module that it is in.
_PUBLIC = {
    "DistanceModel": "distance_model",
    "Embedded": "distance_model",
    "Hypotheses": "pose_model",
    "ModelCard": "model_card",
    "PoseModel": "pose_model",
    "Prediction": "pose_model",
    "Preprocessing": "preprocessing",
    "dispersion_coefficients": "uncertainty",
    "embed_copies": "embedding",
    "embed_particles": "embedding",
    "largest_dispersion": "uncertainty",
    "read_network": "model_folder",
    "total_dispersion": "uncertainty",
    "write_network": "model_folder",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> List[str]:
    return sorted(_PUBLIC)
