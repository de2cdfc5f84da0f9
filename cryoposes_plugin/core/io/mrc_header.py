"""The header of an MRC file (MRC2014), checked against the file before its data are read."""

from __future__ import annotations

import bz2
import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Callable, Dict, Optional, Tuple

import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from ..errors import InputError
from ..types import AnyPath
from ..values import shown_error
from .files import COMPRESSIONS, first_bytes, kind_of

HEADER_BYTES = 1024
_DTYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_COMPLEX = (3, 4)
_OPENERS: Dict[Optional[str], Callable] = {None: open, "gzip": gzip.open, "bzip2": bz2.open}
#: Exceptions that reading damaged compressed files raises.
DAMAGED = (EOFError, OSError, zlib.error, ValueError)
_IMOD_STAMP, _IMOD_SIGNED = 1146047817, 1
_NO_HEADER = "it does not begin with an MRC header"
_TEXT = bytes([*range(9, 14), *range(32, 127)])
_RIGHT_ANGLE_TOLERANCE_DEG = 0.1


@dataclass(frozen=True)
class MrcHeader:
    """What is needed to read the data of an MRC file.

    shape : (sections, rows, columns). axes : which of X, Y, Z (1, 2, 3) the columns, rows and
    sections run along. voxel_angstrom : along X, Y, Z, as the file has it (0 if unset). cell_deg :
    angles of the cell, 0 if unset. offset : bytes before the data. compression : None, "gzip" or
    "bzip2".
    """

    path: Path
    subject: str
    shape: Tuple[int, int, int]
    dtype: np.dtype
    offset: int
    axes: Tuple[int, int, int]
    voxel_angstrom: Tuple[float, float, float]
    cell_deg: Tuple[float, float, float]
    compression: Optional[str]
    file_bytes: int

    @property
    def need_bytes(self) -> int:
        return self.offset + math.prod(self.shape) * self.dtype.itemsize

    @property
    def orthogonal(self) -> bool:
        unset = self.cell_deg == (0.0, 0.0, 0.0)
        return unset or all(
            abs(angle - 90) <= _RIGHT_ANGLE_TOLERANCE_DEG for angle in self.cell_deg
        )

    def open(self) -> BinaryIO:
        """The open file, which is decompressed while it is read."""
        return _OPENERS[self.compression](self.path, "rb")


def read_header(path: AnyPath, subject: str) -> MrcHeader:
    """The header of an MRC file of any byte order; InputError if it is invalid or the file too
    short.

    subject : how sentences name the file ("Volume a.mrc").
    """
    start = first_bytes(path, HEADER_BYTES, subject)
    kind = kind_of(start)
    if kind is not None and kind in _OPENERS:
        start = _decompressed(path, kind, subject)
    elif kind in COMPRESSIONS:
        raise InputError(f"{subject} is compressed ({kind}): unpack it first.")

    fields = _fields(start) if len(start) == HEADER_BYTES else None
    foreign = _foreign(start, None if kind in _OPENERS else kind)
    if foreign or fields is None:
        raise InputError(
            f"{subject} cannot be read as MRC ({foreign or _NO_HEADER}); give a valid MRC file."
        )
    header = _checked(fields, Path(path), subject, kind)
    if kind is None:
        _check_size(header, fields)
    return header


def _foreign(start: bytes, kind: Optional[str]) -> Optional[str]:
    """What kind of file it is, if it is known not to be MRC."""
    if kind is not None:
        return f"it is a {kind} file"
    if start and not start.strip(_TEXT):
        return "it is text"
    return f"it has {len(start)} bytes, fewer than a header" if len(start) < HEADER_BYTES else None


def _decompressed(path: AnyPath, kind: str, subject: str) -> bytes:
    try:
        with _OPENERS[kind](path, "rb") as handle:
            return handle.read(HEADER_BYTES)
    except DAMAGED as error:
        raise InputError(
            f"{subject} is damaged {kind} data ({shown_error(error)}); copy it again."
        ) from error


def _fields(start: bytes) -> Optional[np.void]:
    """The header in a plausible byte order, or in that of its stamp if it says MAP, or None."""
    stamped = ">" if start[212] == 0x11 else "<"
    records = [
        np.frombuffer(start, HEADER_DTYPE.newbyteorder(order))[0]
        for order in (stamped, "<>"[stamped == "<"])
    ]
    plausible = next((record for record in records if _is_plausible(record)), None)
    if plausible is None and start[208:211] == b"MAP":
        return records[0]
    return plausible


def _is_plausible(record: np.void) -> bool:
    modes = (*_DTYPES, *_COMPLEX, 101)
    sizes = [int(record[name]) for name in ("nx", "ny", "nz")]
    axes = _axes(record)
    return int(record["mode"]) in modes and all(0 < n < 2**24 for n in sizes) and axes is not None


def _axes(record: np.void) -> Optional[Tuple[int, int, int]]:
    axes = int(record["mapc"]), int(record["mapr"]), int(record["maps"])
    if axes == (0, 0, 0):  # left unset by old programs
        return (1, 2, 3)
    return axes if sorted(axes) == [1, 2, 3] else None


def _checked(fields: np.void, path: Path, subject: str, compression: Optional[str]) -> MrcHeader:
    columns, rows, sections = (int(fields[name]) for name in ("nx", "ny", "nz"))
    mode, extended = int(fields["mode"]), int(fields["nsymbt"])
    axes, angles = _axes(fields), fields["cellb"]
    if min(columns, rows, sections) < 1:
        raise InputError(
            f"{subject} is {columns} x {rows} x {sections} pixels according to its header; copy it "
            "again."
        )
    if mode not in _DTYPES:
        what = "complex numbers" if mode in _COMPLEX else "not real numbers"
        raise InputError(
            f"{subject} has MRC mode {mode} ({what}); modes 0, 1, 2, 6 and 12 are supported: "
            "convert it."
        )

    if axes is None:
        axes_text = ", ".join(str(int(fields[name])) for name in ("mapc", "mapr", "maps"))
        raise InputError(
            f"{subject} has axes {axes_text} in MAPC, MAPR, MAPS; 1, 2, 3 in some order are "
            "needed: repair it."
        )
    if extended < 0:
        raise InputError(f"{subject} has an extended header of {extended} bytes; copy it again.")

    return MrcHeader(
        path=path,
        subject=subject,
        shape=(sections, rows, columns),
        dtype=np.dtype(_dtype_text(fields, mode)),
        offset=HEADER_BYTES + extended,
        axes=axes,
        voxel_angstrom=_voxel_angstrom(fields, axes),
        cell_deg=(float(angles["alpha"]), float(angles["beta"]), float(angles["gamma"])),
        compression=compression,
        file_bytes=path.stat().st_size,
    )


def _dtype_text(fields: np.void, mode: int) -> str:
    """NumPy's name of the type; bytes are signed unless IMOD or their range says otherwise."""
    order = fields.dtype["nx"].str[0]
    if mode != 0:
        return order + _DTYPES[mode]
    imod_stamp, imod_flags = np.frombuffer(fields["extra2"].tobytes()[40:48], order + "i4")
    imod_unsigned = imod_stamp == _IMOD_STAMP and not imod_flags & _IMOD_SIGNED
    return "u1" if imod_unsigned or (fields["dmin"] >= 0 and 127 < fields["dmax"] <= 255) else "i1"


def _voxel_angstrom(fields: np.void, axes: Tuple[int, int, int]) -> Tuple[float, float, float]:
    """The cell divided by its samples or, if these are unset, by the voxels along X, Y and Z."""
    there = dict(zip(axes, (int(fields[name]) for name in ("nx", "ny", "nz"))))
    samples = [int(fields[name]) for name in ("mx", "my", "mz")]
    if samples == [0, 0, 0]:
        samples = [there[1], there[2], there[3]]
    cell = [float(fields["cella"][name]) for name in "xyz"]
    x, y, z = (length / number if number else 0.0 for length, number in zip(cell, samples))
    return x, y, z


def _check_size(header: MrcHeader, fields: np.void) -> None:
    have, need = header.file_bytes, header.need_bytes
    if have < need:
        sections, rows, columns = header.shape
        raise InputError(
            f"{header.subject} is truncated: it has {have} bytes and {columns} x {rows} x "
            f"{sections} pixels need {need}; copy it again."
        )
    if have != need and not bytes(fields["map"]).startswith(b"MAP"):
        raise InputError(
            f"{header.subject} cannot be read as MRC (its header does not say MAP and implies "
            f"{need} bytes, not {have}); give a valid MRC file."
        )
