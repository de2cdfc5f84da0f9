"""NumPy archives (npz) of any origin; shapes are checked before data are read."""

from __future__ import annotations

import math
import zipfile
from typing import IO, Any, Callable, Dict, Optional, Sequence, Tuple

import numpy as np

from ..errors import UNREADABLE, InputError
from ..memory import require_memory
from ..types import AnyPath
from ..values import shown_error
from .files import fill, first_bytes, kind_of

_SUFFIX = ".npy"
#: Kinds of NumPy's dtypes: boolean, integer, unsigned, floating point; and text.
NUMBERS, TEXTS = "biuf", "U"
_LONGEST_HEADER = 10000
_HEADERS: Dict[Tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(
    path: AnyPath,
    subject: str,
    remedy: str,
    required: Sequence[str] = (),
    wanted: Optional[Sequence[str]] = None,
    largest_bytes: Optional[int] = None,
    kinds: str = NUMBERS,
) -> Dict[str, np.ndarray]:
    """Read arrays from an npz file.

    Parameters
    ----------
    path : the file.
    subject : how sentences name it.
    remedy : how they end.
    required : names of arrays that must be there.
    wanted : names to read; by default all.
    largest_bytes : size of all arrays together that is not to be exceeded.
    kinds : of dtypes that the arrays may have, as NumPy abbreviates them.

    Returns
    -------
    The arrays by name.

    Raises
    ------
    InputError : a file that is damaged, too large, or holds something else.
    ResourceError : not enough memory.
    """
    if kind_of(first_bytes(path, 16, subject)) == "NumPy":
        raise InputError(f"{subject} holds one array, not several with names; {remedy}.")

    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, subject, remedy)
            missing = [name for name in required if name not in members]
            if missing:
                there = ", ".join(sorted(members)) or "none"
                raise InputError(
                    f"{subject} has no array {missing[0]!r} (it has {there}); {remedy}."
                )
            chosen = {k: v for k, v in members.items() if wanted is None or k in wanted}
            total = sum(
                _checked_bytes(archive, name, info, subject, remedy, kinds)
                for name, info in chosen.items()
            )
            if largest_bytes is not None and total > largest_bytes:
                raise InputError(
                    f"{subject} holds arrays of {total} bytes where at most {largest_bytes} are "
                    f"expected; {remedy}."
                )
            require_memory(total, subject)
            return {name: _read_member(archive, info) for name, info in chosen.items()}
    except UNREADABLE as error:
        raise InputError(
            f"{subject} cannot be read as an npz file ({shown_error(error)}); {remedy}."
        ) from error


def _members(archive: zipfile.ZipFile, subject: str, remedy: str) -> Dict[str, zipfile.ZipInfo]:
    members: Dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename[: -len(_SUFFIX)]
        if not info.filename.endswith(_SUFFIX) or name in members or "/" in name:
            raise InputError(
                f"{subject} holds {info.filename[:60]!r}, which is not an array or occurs twice; "
                f"{remedy}."
            )
        members[name] = info
    return members


def _checked_bytes(
    archive: zipfile.ZipFile,
    name: str,
    info: zipfile.ZipInfo,
    subject: str,
    remedy: str,
    kinds: str,
) -> int:
    """Size of an array, after a check of its header alone."""
    with archive.open(info) as handle:
        shape, _, dtype = array_header(handle)
        begin = handle.tell()
    size = math.prod(shape) * dtype.itemsize
    if dtype.kind not in kinds:
        raise InputError(f"{subject}: the array {name!r} holds {dtype}, not numbers; {remedy}.")
    if size != info.file_size - begin:
        raise InputError(
            f"{subject}: the size of the array {name!r} does not fit its shape {shape}; {remedy}."
        )
    return size


def array_header(
    handle: IO[bytes], longest: int = _LONGEST_HEADER
) -> Tuple[Tuple[int, ...], bool, np.dtype]:
    """Shape, whether in the order of columns, and dtype of the array that begins here.

    longest : number of characters of its header that are allowed; ValueError for more.
    """
    version = np.lib.format.read_magic(handle)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the array format is not supported")
    return _HEADERS[version](handle, longest)


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as handle:
        shape, in_columns, dtype = array_header(handle)
        data = np.empty(shape[::-1] if in_columns else shape, dtype)
        fill(handle, data)
    return data.T if in_columns else data
