"""Trained networks in use: a model folder is read, images go in, poses or distances come out.

The modules are imported when a name is used, as most of them import TensorFlow.
"""

from __future__ import annotations

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
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
    },
)
