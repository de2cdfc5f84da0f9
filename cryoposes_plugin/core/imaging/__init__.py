"""How images form: projections, CTF, noise, background, and what is drawn for a simulation.

The names below are loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "AstraProjector": "astra_projector",
    "CtfDistribution": "settings",
    "ForwardModel": "forward_model",
    "FourierProjector": "fourier_projector",
    "Imaging": "settings",
    "PoseDistribution": "settings",
    "draw_ctfs": "draws",
    "draw_poses": "draws",
    "draw_shifts": "draws",
    "measure_background": "background",
    "normalise_background": "noise",
    "particles_and_reprojections": "reprojections",
    "project": "reprojections",
    "simulate_noise": "noise",
}
__all__ = tuple(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
