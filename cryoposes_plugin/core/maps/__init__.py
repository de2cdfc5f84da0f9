"""Maps: FSC, alignment, symmetry, size, and densities of atomic models and of a phantom.

The names below are loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "AtomicModel": "atomic_model",
    "HalfMapFsc": "fsc",
    "MapAlignment": "alignment",
    "SymmetryAxes": "symmetry_axes",
    "align_maps": "alignment",
    "find_axes": "symmetry_axes",
    "fourier_shell_correlation": "fsc",
    "half_map_fsc": "fsc",
    "likely_group": "symmetry",
    "make_phantom": "phantom",
    "resolution_angstrom": "fsc",
    "suggested_diameter_angstrom": "size",
    "symmetry_correlations": "symmetry",
}
__all__ = tuple(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
