"""How images form: projections, CTF, noise, background, and what is drawn for a simulation.

The names below are loaded when they are used.
"""

from __future__ import annotations

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
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
    },
)
