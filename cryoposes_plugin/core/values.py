"""Checks of values that enter or leave the program: type, finiteness and limits.

Every reader uses them, so that each limit is stated once. Also the phrasing of values in sentences.
"""

from __future__ import annotations

import json
import math
import numbers
from typing import Any, Callable, Dict, List, Optional, Tuple, Type

import numpy as np

from .errors import CryoposesError, InputError

#: Limits of a pixel or voxel size.
SMALLEST_PIXEL_ANGSTROM, LARGEST_PIXEL_ANGSTROM = 0.01, 1000.0


def real(
    value: Any,
    what: str,
    remedy: str = "correct it",
    minimum: Optional[float] = None,
    maximum: Optional[float] = None,
    error: Type[CryoposesError] = InputError,
) -> float:
    """A finite real number within limits.

    Parameters
    ----------
    value : any value; booleans and text are not numbers.
    what : names the value in the sentence.
    remedy : ends the sentence.
    minimum, maximum : inclusive limits; None for no limit.
    error : class of the exception that is raised for any other value.

    Returns
    -------
    The number as a float.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise error(f"{what} is {shown(value)}, which is not a number; {remedy}.")
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
    """An integer within limits; a float with an integral value is not accepted.

    Parameters
    ----------
    value : any value.
    what : names the value in the sentence.
    remedy : ends the sentence.
    minimum, maximum : inclusive limits; None for no limit.
    error : class of the exception that is raised for any other value.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise error(f"{what} is {shown(value)}, which is not a whole number; {remedy}.")
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
    """Raise an error if a number lies outside limits.

    Parameters
    ----------
    number : the number.
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
    """Text of moderate length without null characters.

    Parameters
    ----------
    value : any value.
    what : names the value in the sentence.
    remedy : ends the sentence.
    error : class of the exception that is raised for any other value.
    longest : number of characters that are allowed.
    """
    if not isinstance(value, str):
        raise error(f"{what} is {shown(value)}, which is not text; {remedy}.")
    if len(value) > longest or "\0" in value:
        raise error(
            f"{what} is {shown(value)}, which is too long or contains a null character; {remedy}."
        )
    return value


def truth(
    value: Any, what: str, remedy: str = "correct it", error: Type[CryoposesError] = InputError
) -> bool:
    """True or False; 0, 1 and words are not accepted.

    Parameters
    ----------
    value : any value.
    what : names the value in the sentence.
    remedy : ends the sentence.
    error : class of the exception that is raised for any other value.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise error(f"{what} is {shown(value)}, which is neither true nor false; {remedy}.")
    return bool(value)


#: The check of each type of value in JSON, forms and command lines.
CHECKS: Dict[type, Callable[..., Any]] = {bool: truth, int: integer, float: real, str: text}


def parse_object(
    content: str, what: str, remedy: str = "repair it", error: Type[CryoposesError] = InputError
) -> Dict[str, Any]:
    """The JSON object in a text, by the strict rules of JSON: no NaN and no repeated keys.

    Parameters
    ----------
    content : the text.
    what : names it in the sentence.
    remedy : ends the sentence.
    error : class of the exception that is raised for any other text.
    """
    try:
        value = json.loads(content, object_pairs_hook=_each_key_once, parse_constant=_no_constant)
    except RecursionError:
        raise error(f"{what} is nested too deeply; {remedy}.") from None
    except ValueError as problem:
        raise error(f"{what} is not valid JSON ({shown_error(problem)}); {remedy}.") from problem
    if not isinstance(value, dict):
        raise error(f"{what} is {shown(value)} and not a JSON object; {remedy}.")
    return value


def _each_key_once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} occurs twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def check_pixel_size(value: Any, subject: str, remedy: str = "correct it") -> float:
    """The pixel size in Å of what `subject` names; InputError outside the limits."""
    number = real(value, f"{subject}: the pixel size", remedy, 0.0)
    if not SMALLEST_PIXEL_ANGSTROM <= number <= LARGEST_PIXEL_ANGSTROM:
        raise InputError(
            f"{subject} has a pixel size of {number:g} Å, outside the range of "
            f"{SMALLEST_PIXEL_ANGSTROM:g} to {LARGEST_PIXEL_ANGSTROM:g} Å; {remedy}."
        )
    return number


def shown(value: Any) -> str:
    """A value for a sentence: its repr on one line, cut if it is long."""
    try:
        words = f"{value:g}" if isinstance(value, (float, np.floating)) else repr(value)
    except (ValueError, RecursionError):  # Python does not print integers of thousands of digits
        words = f"a {type(value).__name__} too long to print"
    return _one_line(words, 60)


def shown_error(error: BaseException) -> str:
    """The message of an exception on one line of moderate length, without a full stop."""
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
    """InputError if values that are about to be written contain NaN or infinity."""
    values = np.asarray(values)
    if values.dtype.kind in "fc" and not np.isfinite(values).all():
        bad = int(values.size - np.count_nonzero(np.isfinite(values)))
        raise InputError(
            f"{what} would contain {bad} NaN or infinite numbers and is not written; look for "
            "images or poses with extreme values."
        )
