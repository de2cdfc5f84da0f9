"""The gate for numbers that enter or leave: of the right type, finite and within limits, else one sentence.

Every reader asks here, so that a limit is stated once.
"""

from __future__ import annotations

import json
import math
import numbers
from typing import Any, Callable, Dict, List, Optional, Tuple, Type

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
    """A finite number within limits (inclusive) as a float, no bool and no text; `error` that says what it is else.

    Parameters
    ----------
    value : from outside, of any type.
    what : names it in the sentence.
    remedy : ends the sentence.
    minimum, maximum : inclusive limits; None for no limit.
    error : class of the exception.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise error(f"{what} is {shown(value)}, which is no number; {remedy}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise error(f"{what} is {shown(value)}; give a finite number.")
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
    """A whole number within limits (inclusive); a float that is whole is none.

    Parameters
    ----------
    value : from outside, of any type.
    what : names it in the sentence.
    remedy : ends the sentence.
    minimum, maximum : inclusive limits; None for no limit.
    error : class of the exception.
    """
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
    """`error` where a number lies outside of minimum and maximum (inclusive, None: open).

    Parameters
    ----------
    number : to be checked.
    what : names it in the sentence.
    remedy : ends the sentence.
    minimum, maximum : inclusive limits; None for no limit.
    error : class of the exception.
    """
    if minimum is not None and number < minimum:
        raise error(f"{what} is {shown(number)} and must be at least {minimum:g}; {remedy}.")
    if maximum is not None and number > maximum:
        raise error(f"{what} is {shown(number)} and must be at most {maximum:g}; {remedy}.")


def text(
    value: Any,
    what: str,
    remedy: str = "correct it",
    error: Type[CryoposesError] = InputError,
    longest: int = 4096,
) -> str:
    """Text of a sensible length, without control characters.

    Parameters
    ----------
    value : from outside, of any type.
    what : names it in the sentence.
    remedy : ends the sentence.
    error : class of the exception.
    longest : number of characters.
    """
    if not isinstance(value, str):
        raise error(f"{what} is {shown(value)}, which is no text; {remedy}.")
    if len(value) > longest or "\0" in value:
        raise error(
            f"{what} is {shown(value)}, which is too long or holds a null character; {remedy}."
        )
    return value


def truth(
    value: Any, what: str, remedy: str = "correct it", error: Type[CryoposesError] = InputError
) -> bool:
    """true or false, and not 0, 1 or the words.

    Parameters
    ----------
    value : from outside, of any type.
    what : names it in the sentence.
    remedy : ends the sentence.
    error : class of the exception.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise error(f"{what} is {shown(value)}, which is neither true nor false; {remedy}.")
    return bool(value)


#: The check of a type that JSON, a form or a command line gives.
CHECKS: Dict[type, Callable[..., Any]] = {bool: truth, int: integer, float: real, str: text}


def parse_object(
    content: str, what: str, remedy: str = "repair it", error: Type[CryoposesError] = InputError
) -> Dict[str, Any]:
    """A JSON object by the letter of JSON: no NaN, no key twice.

    Parameters
    ----------
    content : of the file.
    what : names it in the sentence.
    remedy : ends the sentence.
    error : class of the exception for everything else.
    """
    try:
        value = json.loads(content, object_pairs_hook=_each_key_once, parse_constant=_no_constant)
    except RecursionError:
        raise error(f"{what} is nested too deeply; {remedy}.") from None
    except ValueError as problem:
        raise error(f"{what} is not JSON ({shown_error(problem)}); {remedy}.") from problem
    if not isinstance(value, dict):
        raise error(f"{what} is {shown(value)} and no JSON object; {remedy}.")
    return value


def _each_key_once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} occurs twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


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
        words = f"{value:g}" if isinstance(value, (float, np.floating)) else repr(value)
    except (ValueError, RecursionError):  # Python does not print integers of thousands of digits
        words = f"a {type(value).__name__} too long to print"
    return _one_line(words, 60)


def shown_error(error: BaseException) -> str:
    """What an exception says, on one line of moderate length and without a full stop."""
    return _one_line(
        getattr(error, "strerror", None) or str(error) or type(error).__name__, 200
    ).rstrip(".")


def _one_line(words: str, longest: int) -> str:
    words = " ".join(words.split())
    return words if len(words) <= longest else f"{words[: longest - 3]}..."


def counted(number: int, noun: str) -> str:
    """ "1 particle", "2 particles"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def require_finite(values: np.ndarray, what: str) -> None:
    """InputError where something that is about to be written holds NaN or infinity: nothing of the kind leaves."""
    values = np.asarray(values)
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        bad = int(values.size - np.count_nonzero(np.isfinite(values)))
        raise InputError(
            f"{what} would hold {bad} NaN or infinite numbers and is not written; look for images or poses out of all "
            "proportion."
        )
