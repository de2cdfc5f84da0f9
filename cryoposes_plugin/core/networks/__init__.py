"""Networks that estimate poses of images or distances between them, and the mathematics of their
outputs.

The modules are imported when a name is used, as most of them import TensorFlow.
"""

from __future__ import annotations

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "BanjacArchitecture": "banjac2021",
        "CryoforumArchitecture": "cryoforum2023",
        "LianArchitecture": "lian2022",
        "PolarArchitecture": "polar",
        "architecture_of": "build",
        "bingham_matrices_of": "representations",
        "build_network": "build",
        "grid_rotations": "rotation_grid",
        "log_normaliser": "bingham_normaliser",
        "predicted_bingham_matrices": "build",
        "predicted_rotations": "build",
        "rotations_of": "representations",
    },
)
