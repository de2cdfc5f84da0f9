"""cryoSPARC's datasets as NumPy's structured arrays, one record a particle, joined by uid.

A file is one array in NumPy's format. Its header is checked before any data are read; objects,
which would have to be unpickled, are refused.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Dict, Optional

import numpy as np

from ...errors import UNREADABLE, InputError
from ...memory import require_memory
from ...types import AnyPath
from ...values import shown_error
from ..files import check_regular, fill, first_bytes, kind_of
from ..folder import atomic_path
from ..npz import array_header
from .fields import UID

#: Datasets have a hundred fields and more.
_LONGEST_HEADER = 2**17
#: Kinds of NumPy's dtypes: boolean, integers, floating point, complex, bytes.
_KINDS = "biufcS"
_STREAM = "cryoSPARC stream"


def is_dataset(path: AnyPath) -> bool:
    """Whether a file is a dataset of cryoSPARC, by its first bytes; False if it does not exist."""
    if not Path(path).is_file():
        return False
    return kind_of(first_bytes(path, 16, f"Particle file {path}")) in ("NumPy", _STREAM)


def read_dataset(path: AnyPath, passthrough: Optional[AnyPath] = None) -> np.ndarray:
    """The records of a .cs file, with the fields of its passthrough file that it does not have.

    Parameters
    ----------
    path : the file.
    passthrough : a file with these particles, and perhaps others, in any order.

    Returns
    -------
    (N,) structured array, in the order of the file.

    Raises
    ------
    InputError : a file that is damaged or holds something else, a uid that occurs twice, particles
        that the passthrough file lacks.
    ResourceError : not enough memory.
    """
    records = _read(Path(path))
    if passthrough is None:
        return records
    other = _read(Path(passthrough))
    new = [name for name in _names(other) if name not in _names(records)]
    if not new:
        return records

    order = np.argsort(other[UID])
    place = np.searchsorted(other[UID][order], records[UID])
    rows = order[np.minimum(place, len(other) - 1)]
    lost = np.flatnonzero(other[UID][rows] != records[UID])
    if len(lost):
        raise InputError(
            f"{len(lost)} of {len(records)} particles of {path} (such as uid "
            f"{records[UID][lost[0]]}) are not in {passthrough}; give with --passthrough the file "
            "that belongs to it."
        )
    columns = {name: records[name] for name in _names(records)}
    return to_records({**columns, **{name: other[name][rows] for name in new}})


def to_records(columns: Dict[str, np.ndarray]) -> np.ndarray:
    """(N,) structured array with these columns, (N, ...) each, in their order."""
    kinds = [(name, values.dtype, values.shape[1:]) for name, values in columns.items()]
    records = np.empty(len(next(iter(columns.values()))), np.dtype(kinds))
    for name, values in columns.items():
        records[name] = values
    return records


def write_dataset(path: AnyPath, records: np.ndarray) -> None:
    """Write a .cs file, whole or not at all."""
    with atomic_path(path) as part, open(part, "wb") as handle:
        np.save(handle, records, allow_pickle=False)


def _names(records: np.ndarray) -> tuple:
    return records.dtype.names or ()


def _read(path: Path) -> np.ndarray:
    subject = f"Particle file {path}"
    if kind_of(first_bytes(path, 16, subject)) == _STREAM:
        raise InputError(
            f"{subject} is a compressed stream of cryoSPARC; save it as an array, with "
            "cryosparc-tools: Dataset.load(path).save(path)."
        )
    try:
        records = _read_array(path, subject)
    except UNREADABLE as error:
        raise InputError(
            f"{subject} cannot be read as a dataset of cryoSPARC ({shown_error(error)}); export it "
            "again."
        ) from error

    values, counts = np.unique(records[UID], return_counts=True)
    if (counts > 1).any():
        raise InputError(
            f"{path}: uid {values[counts > 1][0]} occurs {counts.max()} times; remove the "
            "duplicates."
        )
    return records


def _read_array(path: Path, subject: str) -> np.ndarray:
    size = check_regular(path, subject).st_size
    with open(path, "rb") as handle:
        shape, _, dtype = array_header(handle, _LONGEST_HEADER)
        _check_fields(dtype, subject)
        if len(shape) != 1 or math.prod(shape) * dtype.itemsize != size - handle.tell():
            raise InputError(
                f"{subject}: its size does not fit {shape} records of {dtype.itemsize} bytes; "
                "export it again."
            )
        if not shape[0]:
            raise InputError(f"{path} holds no particles; give a file with at least one.")
        require_memory(size, subject)
        records = np.empty(shape, dtype)
        fill(handle, records)
    return records


def _check_fields(dtype: np.dtype, subject: str) -> None:
    if UID not in (dtype.names or ()) or dtype[UID] != np.uint64:
        raise InputError(
            f"{subject} has no field {UID} of 64-bit numbers, as cryoSPARC's datasets have; give a "
            ".cs file of particles."
        )
    for name in dtype.names or ():
        if dtype[name].base.kind not in _KINDS:
            raise InputError(
                f"{subject}: the field {name[:60]!r} holds {str(dtype[name])[:60]}, neither numbers "
                "nor text; export it again."
            )
