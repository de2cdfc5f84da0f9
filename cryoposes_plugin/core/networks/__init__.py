"""Networks that estimate poses of images or distances between them, and the mathematics of their
outputs.

The modules are imported when a name is used, as most of them import TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, List

#: What is meant to be used, and the module that it is in.
_PUBLIC = {
    "BanjacConfig": "banjac2021",
    "CryoforumConfig": "cryoforum2023",
    "LianConfig": "lian2022",
    "PolarConfig": "polar",
    "architecture_of": "build",
    "bingham_matrices_of": "representations",
    "build_network": "build",
    "grid_rotations": "rotation_grid",
    "log_normaliser": "bingham_normaliser",
    "predicted_bingham_matrices": "build",
    "predicted_rotations": "build",
    "rotations_of": "representations",
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> List[str]:
    return sorted(_PUBLIC)
