"""Maps: FSC, alignment, symmetry, size, and densities of atomic models and of a phantom.

The names below are loaded when they are used.
"""

from __future__ import annotations

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "AtomicModel": "atomic_model",
        "ConicalFsc": "conical_fsc",
        "HalfMapFsc": "fsc",
        "MapAlignment": "alignment",
        "SymmetryAxes": "symmetry_axes",
        "align_maps": "alignment",
        "find_axes": "symmetry_axes",
        "fourier_shell_correlation": "fsc",
        "fsc_in_cones": "conical_fsc",
        "half_map_fsc": "fsc",
        "likely_group": "symmetry",
        "make_phantom": "phantom",
        "resolution_angstrom": "fsc",
        "suggested_diameter_angstrom": "size",
        "symmetry_correlations": "symmetry",
    },
)
