"""The fields of cryoSPARC's particle datasets: those that are modelled, and how."""

from __future__ import annotations

from typing import Dict, List

import numpy as np

from ...scores import PREFIX
from ...types import ParticleTable

UID = "uid"

# Images
PATH, INDEX, SHAPE = "blob/path", "blob/idx", "blob/shape"
PIXEL_SIZE, SIGN = "blob/psize_A", "blob/sign"

# Optics groups
GROUP, SPHERICAL_ABERRATION, TILT = "ctf/exp_group_id", "ctf/cs_mm", "ctf/tilt_A"
#: Field -> attribute of `OpticsGroup` and `CtfTable`.
ACQUISITION = {
    "ctf/accel_kv": "voltage_kv",
    SPHERICAL_ABERRATION: "spherical_aberration_mm",
    "ctf/amp_contrast": "amplitude_contrast",
}

# CTF
DEFOCUS_U, DEFOCUS_V = "ctf/df1_A", "ctf/df2_A"
DEFOCUS_ANGLE, PHASE_SHIFT, BFACTOR = "ctf/df_angle_rad", "ctf/phase_shift_rad", "ctf/bfactor"
#: Field -> attribute of `CtfTable`, and one unit of the attribute in units of the field.
CTF = {
    DEFOCUS_U: ("defocus_u_angstrom", 1.0),
    DEFOCUS_V: ("defocus_v_angstrom", 1.0),
    DEFOCUS_ANGLE: ("defocus_angle_deg", np.pi / 180),
    PHASE_SHIFT: ("phase_shift_deg", np.pi / 180),
    BFACTOR: ("bfactor_angstrom2", 1.0),
}

# Poses: of a refinement, and of a 2D classification
POSES, POSES_2D = "alignments3D", "alignments2D"
MICROGRAPH = "location/micrograph_path"

#: Our own fields: "cryoposes/Trace" for the column cryoposesTrace.
OURS = f"{PREFIX}/"

#: Fields that affect the image but are not part of the forward model, and the value without effect.
FIELDS_NOT_MODELLED: Dict[str, float] = {
    "ctf/scale": 1.0,
    "ctf/shift_A": 0.0,
    "ctf/trefoil_A": 0.0,
    "ctf/tetra_A": 0.0,
    "ctf/anisomag": 0.0,
}


def fields_not_modelled(table: ParticleTable) -> List[str]:
    """The fields of the table's records that affect the images and are not modelled."""
    records = table.records
    if records is None:
        return []
    return [
        name
        for name, neutral in FIELDS_NOT_MODELLED.items()
        if name in (records.dtype.names or ())
        and records[name].dtype.kind in "biuf"
        and (records[name] != neutral).any()
    ]
