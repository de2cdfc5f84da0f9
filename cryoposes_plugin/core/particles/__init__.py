"""Particle sets: images, grey values, grids, half sets, and whether all of it belongs together.

The names below are loaded when they are used.
"""

from __future__ import annotations

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "GreyValues": "grey_values",
        "Grid": "grids",
        "ParticleBatches": "batches",
        "ParticleImages": "images",
        "ResampledImages": "images",
        "check_ctf": "checks",
        "check_fits_model": "checks",
        "check_volume": "checks",
        "common_grid": "grids",
        "even_grid": "grids",
        "half_sets": "halves",
        "image_contrast": "contrast",
        "map_contrast": "contrast",
        "particle_questions": "plausibility",
        "pose_questions": "plausibility",
        "scan_images": "batches",
        "working_grid": "grids",
    },
)
