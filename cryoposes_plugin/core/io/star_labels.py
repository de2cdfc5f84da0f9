"""The labels of RELION's particle STAR files, and the columns that are not modelled.

Labels are written without the leading underscore.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Set

from ..texts import Texts
from ..types import ParticleTable
from .cryosparc.fields import fields_not_modelled

# Particles
IMAGE_NAME, IMAGE_ID, RANDOM_SUBSET = "rlnImageName", "rlnImageId", "rlnRandomSubset"
COORDINATE_X, COORDINATE_Y = "rlnCoordinateX", "rlnCoordinateY"
MICROGRAPH_NAME, CLASS_NUMBER = "rlnMicrographName", "rlnClassNumber"
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
#: What RELION's searches are centred on: rot, tilt, psi.
ANGLE_PRIORS = ("rlnAngleRotPrior", "rlnAngleTiltPrior", "rlnAnglePsiPrior")
ORIGINS_ANGSTROM = ("rlnOriginXAngst", "rlnOriginYAngst")
ORIGINS_PX = ("rlnOriginX", "rlnOriginY")
DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
PHASE_SHIFT, BFACTOR = "rlnPhaseShift", "rlnCtfBfactor"

# Optics groups
OPTICS_GROUP, OPTICS_NAME = "rlnOpticsGroup", "rlnOpticsGroupName"
PIXEL_SIZE, BOX_SIZE = "rlnImagePixelSize", "rlnImageSize"
DIMENSIONALITY = "rlnImageDimensionality"
VOLTAGE, SPHERICAL_ABERRATION = "rlnVoltage", "rlnSphericalAberration"
AMPLITUDE_CONTRAST = "rlnAmplitudeContrast"
PREMULTIPLIED, PHASE_FLIPPED = "rlnCtfDataAreCtfPremultiplied", "rlnCtfDataArePhaseFlipped"
#: Our own column: cryoSPARC's uid, which is too long a number for rlnImageId.
UID_LABEL = "cryoposesUid"
#: Our own column: -1 if protein is black in the images, which are multiplied by it when read.
IMAGE_SIGN = "cryoposesImageSign"

# Aberrations and magnification of optics groups
BEAM_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
ODD_ZERNIKE, EVEN_ZERNIKE = "rlnOddZernike", "rlnEvenZernike"
MAGNIFICATION_MATRIX = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
ABERRATIONS = (*BEAM_TILT, ODD_ZERNIKE, EVEN_ZERNIKE, *MAGNIFICATION_MATRIX)

# Pixel size in RELION 3.0
OLD_PIXEL_SIZE = "rlnPixelSize"
MAGNIFICATION, DETECTOR_PIXEL_SIZE = "rlnMagnification", "rlnDetectorPixelSize"

#: The attributes of an `OpticsGroup` that the CTF needs, with their labels.
ACQUISITION = (
    ("voltage_kv", VOLTAGE),
    ("spherical_aberration_mm", SPHERICAL_ABERRATION),
    ("amplitude_contrast", AMPLITUDE_CONTRAST),
)

#: Two pixel sizes whose relative difference is smaller than this count as equal.
SAME_PIXEL_SIZE = 1e-4

#: Columns that affect the image but are not part of the forward model (those of `ABERRATIONS` are,
#: if they are columns of the optics groups). They pass through and are named in reports. The number
#: is the value that has no effect (None: every value has an effect).
NOT_MODELLED: Dict[str, Optional[float]] = {
    "rlnBeamTiltX": 0.0,
    "rlnBeamTiltY": 0.0,
    "rlnOddZernike": 0.0,
    "rlnEvenZernike": 0.0,
    "rlnMagMat00": 1.0,
    "rlnMagMat01": 0.0,
    "rlnMagMat10": 0.0,
    "rlnMagMat11": 1.0,
    "rlnMtfFileName": None,
    "rlnCtfScalefactor": 1.0,
}

#: A number that is closer than this to the neutral value has no effect.
_NEUTRAL_TOLERANCE = 1e-6


def columns_not_modelled(table: ParticleTable) -> List[str]:
    """The columns that affect the images, are not modelled, and pass through unchanged.

    Columns without effect (a beam tilt of 0, a magnification of 1) are left out. Particles of
    cryoSPARC have such fields in their records.
    """
    values: Dict[str, Set[str]] = {}
    for label in NOT_MODELLED:
        of_groups = [
            group.extra[label]
            for group in table.optics
            if label in group.extra and label not in ABERRATIONS
        ]
        of_particles = Texts.of(table.extra.get(label, [])).distinct()
        values[label] = {*map(str, of_groups), *of_particles}

    found = [
        label
        for label, neutral in NOT_MODELLED.items()
        if not all(is_neutral(value, neutral) for value in values[label])
    ]
    return [*found, *fields_not_modelled(table)]


def not_modelled(columns: Sequence[str]) -> List[str]:
    """The note on columns that affect the images and are ignored; none without such columns."""
    return [f"Present in the particles but not modelled: {', '.join(columns)}."] if columns else []


def is_neutral(value: str, neutral: Optional[float]) -> bool:
    """Whether a value, or every number of a list such as [0,0,0], equals the neutral one.

    An empty value is neutral.
    """
    words = value.strip("[]").replace(",", " ").split()
    if not words or words == ["None"]:
        return True
    try:
        return neutral is not None and all(
            abs(float(word) - neutral) < _NEUTRAL_TOLERANCE for word in words
        )
    except ValueError:
        return False
