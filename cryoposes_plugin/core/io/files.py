"""What kind of file a file is, from its first bytes, before anything else is read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO, Any, Dict, Optional

import numpy as np

from ..errors import InputError
from ..types import AnyPath
from ..values import parse_object, shown_error

#: The first bytes of known kinds of files.
_MAGIC = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\x93NUMPY", "NumPy"),
    (b"\x95CSDAT", "cryoSPARC stream"),
    (b"version https://git-lfs", "Git LFS pointer"),
)
LARGEST_TEXT_BYTES, _PART_BYTES = 2**24, 2**24
COMPRESSIONS = ("gzip", "bzip2", "zstd", "xz", "zip", "7z")

_ATOMIC_MODELS = (".pdb", ".ent", ".cif", ".mmcif")


def check_regular(path: AnyPath, subject: str, remedy: str = "check the path") -> os.stat_result:
    """The status of a regular file; InputError for anything else.

    subject : how a sentence names it ("Volume a.mrc"). Links are followed. Pipes and devices are
    refused, since reading them may never end.
    """
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{subject} does not exist; {remedy}.") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{subject} cannot be reached ({shown_error(error)}); {remedy}."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise InputError(f"{subject} is {what}, not a file; {remedy}.")
    return status


def first_bytes(path: AnyPath, number: int, subject: str) -> bytes:
    """The first bytes of a regular file, fewer if it is short; InputError if it cannot be read."""
    check_regular(path, subject)
    try:
        with open(path, "rb") as handle:
            return handle.read(number)
    except OSError as error:
        raise InputError(
            f"{subject} cannot be read ({shown_error(error)}); check its permissions."
        ) from error


def fill(handle: IO[bytes], data: np.ndarray) -> None:
    """Read the next bytes of a file into an array; EOFError if there are too few."""
    buffer, done = data.reshape(-1).view(np.uint8).data, 0
    while done < len(buffer):
        part = handle.read(min(_PART_BYTES, len(buffer) - done))
        if not part:
            raise EOFError(f"it ends after {done} of {len(buffer)} bytes of data")
        buffer[done : done + len(part)] = part
        done += len(part)
    handle.read(1)  # compressed files verify their checksum at the end


def read_text(path: AnyPath, subject: str, largest_bytes: int = LARGEST_TEXT_BYTES) -> str:
    """The UTF-8 text in a regular file of moderate size; InputError otherwise."""
    content = first_bytes(path, largest_bytes + 1, subject)
    if len(content) > largest_bytes:
        raise InputError(f"{subject} is larger than {largest_bytes / 2**20:g} MiB; check the path.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{subject} is not UTF-8 text (byte {error.start}); repair it.") from error


def read_object(path: AnyPath, subject: str, remedy: str = "repair it") -> Dict[str, Any]:
    """The JSON object in a file, see `values.parse_object`; InputError otherwise."""
    return parse_object(read_text(path, subject), subject, remedy)


def kind_of(start: bytes) -> Optional[str]:
    """The kind of a file that starts with these bytes; None if it is unknown."""
    return next((name for magic, name in _MAGIC if start.startswith(magic)), None)


def is_atomic_model(path: AnyPath) -> bool:
    """Whether the name of a file is that of a PDB or mmCIF file, gzipped or not."""
    name = Path(path).name.lower()
    return (name[:-3] if name.endswith(".gz") else name).endswith(_ATOMIC_MODELS)
