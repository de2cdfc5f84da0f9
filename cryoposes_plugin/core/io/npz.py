"""NumPy archives (npz) from anywhere: the shapes of their arrays are checked before the data are read."""

from __future__ import annotations

import math
import zipfile
from typing import Dict, Optional, Sequence, Tuple

import numpy as np

from ..errors import UNREADABLE, InputError
from ..memory import require_memory
from ..values import shown_error
from .files import fill, first_bytes, kind_of

_SUFFIX = ".npy"
_PLAIN = "biuf"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(
    path,
    subject: str,
    remedy: str,
    required: Sequence[str] = (),
    wanted: Optional[Sequence[str]] = None,
    largest_bytes: Optional[int] = None,
) -> Dict[str, np.ndarray]:
    """Arrays of plain numbers by name; InputError for anything else and what is damaged or larger than told.

    required : names that must be there. wanted : the names to read; default: all. remedy : the end of sentences.
    ResourceError where the memory does not take them.
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
            _check_sizes(archive, chosen, subject, remedy, largest_bytes)
            return {name: _read_member(archive, info) for name, info in chosen.items()}
    except UNREADABLE as error:
        raise InputError(
            f"{subject} cannot be read as an npz file ({shown_error(error)}); {remedy}."
        ) from error


def _members(archive: zipfile.ZipFile, subject: str, remedy: str) -> Dict[str, zipfile.ZipInfo]:
    found: Dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename[: -len(_SUFFIX)]
        if not info.filename.endswith(_SUFFIX) or name in found or "/" in name:
            raise InputError(
                f"{subject} holds {info.filename[:60]!r}, which is no array or there twice; {remedy}."
            )
        found[name] = info
    return found


def _check_sizes(archive, members, subject: str, remedy: str, largest_bytes: Optional[int]) -> None:
    """By the headers of the arrays alone."""
    total = 0
    for name, info in members.items():
        with archive.open(info) as handle:
            shape, _, dtype = _header(handle)
            begin = handle.tell()
        need = math.prod(shape) * dtype.itemsize
        if dtype.kind not in _PLAIN:
            raise InputError(
                f"{subject}: the array {name!r} holds {dtype}, no plain numbers; {remedy}."
            )
        if need != info.file_size - begin:
            raise InputError(
                f"{subject}: the array {name!r} is not as large as its shape {shape}; {remedy}."
            )
        total += need
    if largest_bytes is not None and total > largest_bytes:
        raise InputError(
            f"{subject} holds {total} bytes of numbers and at most {largest_bytes} can belong to it; {remedy}."
        )
    require_memory(total, subject)


def _header(handle) -> Tuple[Tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(handle)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the array format is not read")
    return _HEADERS[version](handle)


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as handle:
        shape, in_columns, dtype = _header(handle)
        data = np.empty(shape[::-1] if in_columns else shape, dtype)
        fill(handle, data)
    return data.T if in_columns else data
