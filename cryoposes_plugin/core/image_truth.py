"""The columns of what is true of a simulated image, where it is not what the image's file states.

Angles are in degrees, lengths in Å, tilts in mrad, gradients in standard deviations of the noise.
They are text in a particle table, as they belong to no pose.
"""

from __future__ import annotations

from typing import Dict

import numpy as np

from .scores import TRUTH

DEFOCUS = (f"{TRUTH}DefocusU", f"{TRUTH}DefocusV")
BFACTOR, CONTRAST = f"{TRUTH}Bfactor", f"{TRUTH}Contrast"
PIXEL_SIZE, DOSE = f"{TRUTH}PixelSize", f"{TRUTH}Dose"
THICKNESS, GRADIENT = f"{TRUTH}IceThickness", (f"{TRUTH}GradientX", f"{TRUTH}GradientY")
NEIGHBOURS, DUPLICATE_OF = f"{TRUTH}Neighbours", f"{TRUTH}DuplicateOf"
MOTION = (f"{TRUTH}MotionDeg", f"{TRUTH}MotionAngstrom")
PREFERRED, MISPLACED = f"{TRUTH}PreferredView", f"{TRUTH}Misplacement"


def true_column(label: str) -> str:
    """The column that holds the truth of one of RELION's: rlnBeamTiltX -> cryoposesTrueBeamTiltX."""
    return TRUTH + label[len("rln") :]


def as_texts(columns: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """The same with values (N,) as text: whole numbers and text as they are, others with six
    digits.
    """
    forms = {"i": "%d", "b": "%d", "f": "%.6g"}
    return {
        label: values
        if values.dtype == object
        else np.char.mod(forms[values.dtype.kind], values).astype(object)
        for label, values in columns.items()
    }
