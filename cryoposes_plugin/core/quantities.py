"""Limits of physical quantities: impossible values are errors, unlikely ones are questions.

Each error or question is one sentence with the value. Scipion's GUI imports this module, so it must
work with Python 3.8.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import List, Optional, Tuple, Type

import numpy as np

from .errors import CryoposesError, InputError

#: A wrong unit is suspected if the corrected value lies between the largest usual one and this
#: small a part of it.
_SLIP_SPAN = 40
#: A defocus below this is in the wrong unit: no micrograph is so close to focus throughout.
_MICROMETRES = 100.0
#: With a phase plate, images are taken close to focus.
PHASE_PLATE_DEG = 20.0


@dataclass(frozen=True)
class Quantity:
    """Bounds of a number, inclusive. slips : (factor, unit) of units that are often used by
    mistake.
    """

    name: str
    unit: str
    possible: Tuple[float, float]
    usual: Tuple[float, float]
    slips: Tuple[Tuple[float, str], ...] = ()

    def question(
        self, value: float, subject: str, error: Type[CryoposesError] = InputError
    ) -> List[str]:
        """A list with one question about an unlikely value, or empty; raises `error` for an
        impossible one.
        """
        shown, slip = f"{subject} is {self._with_unit(f'{value:g}')}", self._slip(value)
        if not self.possible[0] <= value <= self.possible[1]:
            limits = f"it must be {self._range(self.possible)}"
            remedy = f"it looks like {slip[0]}: give {slip[1]:g}" if slip else "correct it"
            raise error(f"{shown} and {limits}; {remedy}.")
        if not self.usual[0] <= value <= self.usual[1]:
            asked = (
                f"was {slip[0]} typed where {self.unit or 'a share'} is needed"
                if slip
                else "is that right"
            )
            return [f"{shown} ({self._range(self.usual)} is usual): {asked}?"]
        return []

    def _slip(self, value: float) -> Optional[Tuple[str, float]]:
        """The unit in which the value would be usual, and the value in the right unit."""
        low, high = max(self.usual[0], self.usual[1] / _SLIP_SPAN), self.usual[1]
        return next(((unit, value / k) for k, unit in self.slips if low <= value / k <= high), None)

    def _range(self, limits: Tuple[float, float]) -> str:
        low, high = limits
        return self._with_unit(f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}")

    def _with_unit(self, text: str) -> str:
        return f"{text} {self.unit}".strip()


VOLTAGE = Quantity("voltage (_rlnVoltage)", "kV", (10, 1200), (60, 400), ((1e3, "V"), (1e-3, "MV")))
SPHERICAL_ABERRATION = Quantity(
    "spherical aberration (_rlnSphericalAberration)", "mm", (0, 20), (0, 8), ((1e3, "µm"),)
)
AMPLITUDE_CONTRAST = Quantity(
    "amplitude contrast (_rlnAmplitudeContrast)", "", (0, 1), (0, 0.4), ((100, "per cent"),)
)
PIXEL_SIZE = Quantity(
    "pixel size (_rlnImagePixelSize)", "Å", (0.01, 100), (0.3, 20), ((0.1, "nm"),)
)
_VOXEL = dataclasses.replace(
    PIXEL_SIZE, name="pixel size", possible=(0, np.inf)
)  # the header's own check refuses
FIELD_OF_VIEW = Quantity("width", "Å", (0.1, 1e5), (60, 6000))
BEAM_TILT = Quantity(
    "beam tilt (_rlnBeamTiltX, _rlnBeamTiltY)", "mrad", (-20, 20), (-5, 5), ((1e3, "µrad"),)
)
#: Of the singular values of the matrix.
MAGNIFICATION = Quantity(
    "relative magnification (_rlnMagMat00 to _rlnMagMat11)", "", (0.8, 1.25), (0.95, 1.05)
)
ZERNIKE = Quantity(
    "aberration coefficient (_rlnOddZernike, _rlnEvenZernike)", "rad", (-1e7, 1e7), (-1e6, 1e6)
)
BFACTOR = Quantity("B-factor (_rlnCtfBfactor)", "Å^2", (-2000, 20000), (0, 2000))
PHASE_SHIFT = Quantity("phase shift (_rlnPhaseShift)", "°", (-360, 360), (-10, 190))
SNR = Quantity("SNR", "", (0, np.inf), (1e-3, 30))
DEFOCUS = Quantity("defocus (_rlnDefocusU, _rlnDefocusV)", "Å", (-1e6, 1e6), (3000, 1e5))

#: Acquisition of an optics group, by attribute of `types.OpticsGroup`.
ACQUISITION = {
    "voltage_kv": VOLTAGE,
    "spherical_aberration_mm": SPHERICAL_ABERRATION,
    "amplitude_contrast": AMPLITUDE_CONTRAST,
    "pixel_size_angstrom": PIXEL_SIZE,
}


def volume_questions(what: str, box_size_px: int, pixel_size_angstrom: float) -> List[str]:
    """Questions about the pixel size and the width of a map."""
    asked = _VOXEL.question(pixel_size_angstrom, f"{what}: the pixel size")
    return asked or width_questions(f"{what}: its width", box_size_px, pixel_size_angstrom)


def width_questions(subject: str, box_size_px: int, pixel_size_angstrom: float) -> List[str]:
    width = box_size_px * pixel_size_angstrom
    return FIELD_OF_VIEW.question(
        width, f"{subject}, {box_size_px} px of {pixel_size_angstrom:g} Å,"
    )


def defocus_questions(
    values: np.ndarray,
    phase_shift_deg: float,
    subject: str,
    error: Type[CryoposesError] = InputError,
) -> List[str]:
    """Questions about all defoci together: their unit and their sign.

    Parameters
    ----------
    values : defoci in Å, in any shape.
    phase_shift_deg : typical phase shift: with a phase plate, images are taken close to focus.
    subject : beginning of the sentences.
    error : raised for impossible values.
    """
    size = np.abs(values)
    for value in extremes(values):
        DEFOCUS.question(value, subject, error)
    typical, span = (
        float(np.median(size)),
        f"{subject} is {values.min():.6g} to {values.max():.6g} Å",
    )
    near_focus = abs(phase_shift_deg) >= PHASE_PLATE_DEG
    if typical == 0:
        return [] if near_focus else [f"{span}: was the CTF never estimated?"]
    if typical < _MICROMETRES:
        return [f"{span}: were micrometres typed where Å are needed (1 µm = 10000 Å)?"]
    if typical > DEFOCUS.usual[1]:
        return [f"{span}, beyond 10 µm: is it in Å?"]

    asked = []
    large = size > 1000
    if (values[large] < 0).any():
        number, all_of = int((values[large] < 0).sum()), int(large.sum())
        share = "" if number == all_of else f" ({number} of {all_of} values are negative)"
        asked.append(
            f"{span}{share}: underfocus is positive in this program; does the sign follow the "
            "opposite convention?"
        )
    if typical < DEFOCUS.usual[0] and not near_focus:
        asked.append(f"{span}: were nanometres typed where Å are needed (100 nm = 1000 Å)?")
    return asked


def extremes(values: np.ndarray) -> List[float]:
    return sorted({float(values.min()), float(values.max())})
