"""The presets of `simulate`: how much of each fault the images have."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Mapping

from ...core.imaging.faults.settings import Faults

NONE = "none"

PRESETS: Dict[str, Faults] = {
    NONE: Faults(),
    "realistic": Faults(
        junk_fraction=0.1,
        preferred_share=0.5,
        misplaced_share=0.1,
        misplaced_angstrom=20.0,
        duplicate_fraction=0.02,
        neighbours=0.7,
        scale_spread=0.15,
        bfactor_spread_angstrom2=100.0,
        defocus_error_angstrom=250.0,
        pixel_size_error=0.01,
        ice_thickness_angstrom=500.0,
        ice_gradient=0.5,
        dose_e_per_angstrom2=40.0,
        beam_tilt_mrad=(0.2, -0.1),
        magnification_anisotropy=0.005,
    ),
}


def chosen_faults(preset: str, options: Mapping[str, Any]) -> Faults:
    """The faults of a preset, changed by the options of the same names that have a value."""
    names = [field.name for field in dataclasses.fields(Faults)]
    given = {name: options[name] for name in names if options[name] not in (None, ())}
    return dataclasses.replace(PRESETS[preset], **given)
