"""Particles that have only part of the symmetry that they seem to have: which of the symmetry mates
of its pose each particle has.

The names below are loaded when they are used.
"""

from __future__ import annotations

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "MateFits": "mates",
        "MateSearch": "search",
        "SplitMap": "split_maps",
        "asymmetry_amplitude": "mates",
        "fit_mates": "mates",
        "mate_probabilities": "mates",
        "split_map": "split_maps",
    },
)
