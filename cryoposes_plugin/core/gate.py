"""The gate for numbers that enter or leave: of the right type, finite and within limits, else one sentence.

Every reader asks here, so that a limit is stated once.
"""

from __future__ import annotations

import math
import numbers
from typing import Any, Optional, Type

import numpy as np

from .errors import CryoposesError, InputError

#: What a pixel or a voxel can measure.
SMALLEST_PIXEL_ANGSTROM, LARGEST_PIXEL_ANGSTROM = 0.01, 1000.0


def real(
    value: Any,
    what: str,
    remedy: str = "correct it",
    minimum: Optional[float] = None,
    maximum: Optional[float] = None,
    error: Type[CryoposesError] = InputError,
) -> float:
    """A finite number within limits (inclusive) as a float, no bool and no text; `error` that says what it is else."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise error(f"{what} is {shown(value)}, which is no number; {remedy}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise error(f"{what} is {shown(value)}, which is not finite; {remedy}.")
    check_limits(number, what, remedy, minimum, maximum, error)
    return number


def integer(
    value: Any,
    what: str,
    remedy: str = "correct it",
    minimum: Optional[int] = None,
    maximum: Optional[int] = None,
    error: Type[CryoposesError] = InputError,
) -> int:
    """A whole number within limits (inclusive); a float that is whole is none."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise error(f"{what} is {shown(value)}, which is no whole number; {remedy}.")
    check_limits(int(value), what, remedy, minimum, maximum, error)
    return int(value)


def check_limits(
    number: float,
    what: str,
    remedy: str,
    minimum: Optional[float],
    maximum: Optional[float],
    error: Type[CryoposesError] = InputError,
) -> None:
    """`error` where a number lies outside of minimum and maximum (inclusive, None: open)."""
    if minimum is not None and number < minimum:
        raise error(f"{what} is {shown(number)} and must be at least {minimum:g}; {remedy}.")
    if maximum is not None and number > maximum:
        raise error(f"{what} is {shown(number)} and must be at most {maximum:g}; {remedy}.")


def check_pixel_size(value: Any, subject: str, remedy: str = "correct it") -> float:
    """In Å, of what `subject` names."""
    number = real(value, f"{subject}: the pixel size", remedy, 0.0)
    if not SMALLEST_PIXEL_ANGSTROM <= number <= LARGEST_PIXEL_ANGSTROM:
        raise InputError(
            f"{subject} has a pixel size of {number:g} Å, outside of {SMALLEST_PIXEL_ANGSTROM:g} to "
            f"{LARGEST_PIXEL_ANGSTROM:g} Å; {remedy}."
        )
    return number


def shown(value: Any) -> str:
    """A value for a sentence: its repr on one line, cut where it is long."""
    try:
        text = f"{value:g}" if isinstance(value, (float, np.floating)) else repr(value)
    except ValueError:  # Python does not print integers of thousands of digits
        text = "an integer of thousands of digits"
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def require_finite(values: np.ndarray, what: str) -> None:
    """InputError where something that is about to be written holds NaN or infinity: nothing of the kind leaves."""
    values = np.asarray(values)
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        bad = int(values.size - np.count_nonzero(np.isfinite(values)))
        raise InputError(
            f"{what} would hold {bad} NaN or infinite numbers and is not written; look for images or poses out of all "
            "proportion."
        )
