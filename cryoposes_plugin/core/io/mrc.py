"""MRC files: volumes are read whole, images one by one; both are written whole or not at all."""

from __future__ import annotations

import copy
import logging
import math
import os
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator, Optional, Tuple

import mrcfile
import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError, ResourceError
from ..memory import require_memory
from ..quantities import volume_questions
from ..types import AnyPath, Volume
from ..values import check_pixel_size, require_finite, shown_error
from .files import fill, is_atomic_model
from .folder import TEMPORARY, atomic_path, create, move, remove, reopen
from .mrc_header import DAMAGED, HEADER_BYTES, MrcHeader, read_header

logger = logging.getLogger(__name__)

_FLOAT32_MODE = 2
#: Beyond these limits, squares and sums overflow or vanish in single precision.
_LARGEST_VALUE, _SMALLEST_RANGE = 1e12, 1e-15
_CHUNK_BYTES = 2**24


def read_volume(path: AnyPath) -> Volume:
    """A cubic, finite MRC map, also gzip or bzip2, as float32 in [z, y, x]; InputError otherwise.

    The origin in the header is ignored, as in RELION: the centre is voxel D // 2.
    """
    subject = f"Volume {path}"
    if is_atomic_model(path):
        raise InputError(
            f"{subject} is an atomic model, but a map is needed; give volume.mrc from the folder "
            "in which `simulate` or `train` made a map of it."
        )
    header = read_header(path, subject)
    pixel_size_angstrom = _checked_voxel(header)
    for question in volume_questions(subject, header.shape[0], pixel_size_angstrom):
        logger.warning("%s", question)

    require_memory(4 * 3 * math.prod(header.shape), subject)
    data = _read_data(header)
    if header.compression is None and header.file_bytes > header.need_bytes:
        extra = header.file_bytes - header.need_bytes
        logger.warning("%s has %d bytes more than its header says; is it complete?", subject, extra)
    along = [header.axes[::-1].index(axis) for axis in (3, 2, 1)]
    data = np.ascontiguousarray(data.transpose(along), dtype=np.float32)
    _check_values(data, subject)
    return Volume(data, pixel_size_angstrom)


def _checked_voxel(header: MrcHeader) -> float:
    """The voxel size of a cubic map."""
    subject, sizes = header.subject, header.voxel_angstrom
    if len(set(header.shape)) != 1:
        shape = " x ".join(str(n) for n in header.shape[::-1])
        raise InputError(
            f"{subject} is {shape} voxels; a cubic map is needed: pad it to a cube first."
        )
    if not header.orthogonal:
        angles = " x ".join(f"{angle:g}" for angle in header.cell_deg)
        raise InputError(
            f"{subject} has a cell of {angles} degrees; an orthogonal grid is needed: resample it."
        )
    if not min(sizes) > 0 or not max(sizes) - min(sizes) <= 1e-3 * max(sizes):
        raise InputError(
            f"{subject} has voxel size {sizes[0]:g} x {sizes[1]:g} x {sizes[2]:g} Å; one positive "
            "size is needed: set it in the header."
        )

    return check_pixel_size(sizes[0], subject, "set it in the header")


def _check_values(data: np.ndarray, subject: str) -> None:
    finite = np.isfinite(data)
    if not finite.all():
        raise InputError(
            f"{subject} holds {int(finite.size - np.count_nonzero(finite))} NaN or infinite "
            "voxels; repair the map."
        )

    low, high = float(data.min()), float(data.max())
    if low == high:
        raise InputError(
            f"{subject} is constant ({low + 0.0:g} everywhere); give a map with density."
        )
    if max(-low, high) > _LARGEST_VALUE or high - low < _SMALLEST_RANGE:
        raise InputError(
            f"{subject} has values from {low:g} to {high:g}, outside the range of single "
            "precision; scale the map."
        )


def _read_data(header: MrcHeader) -> np.ndarray:
    """(sections, rows, columns) in the dtype of the file."""
    data = np.empty(header.shape, header.dtype)
    try:
        with header.open() as handle:
            handle.seek(header.offset)
            fill(handle, data)
    except DAMAGED as error:
        raise InputError(
            f"{header.subject} is damaged or was cut short ({shown_error(error)}); copy it again."
        ) from error
    return data


def write_volume(path: AnyPath, data: np.ndarray, pixel_size_angstrom: float) -> None:
    """Write a map (D, D, D) as float32."""
    _write(path, data, pixel_size_angstrom, volume=True)


def write_stack(path: AnyPath, images: np.ndarray, pixel_size_angstrom: float) -> None:
    """Write images (N, D, D) that fit into memory as a float32 stack."""
    _write(path, images, pixel_size_angstrom, volume=False)


def _write(path: AnyPath, data: np.ndarray, pixel_size_angstrom: float, volume: bool) -> None:
    require_finite(data, str(path))
    with atomic_path(path) as part:
        with mrcfile.new(part, overwrite=True) as mrc:
            mrc.set_data(np.asarray(data, dtype=np.float32))
            mrc.set_volume() if volume else mrc.set_image_stack()
            mrc.voxel_size = pixel_size_angstrom


def read_stack_header(path: AnyPath) -> Tuple[int, int, float]:
    """(number of images, box size, pixel size in Å or 0); InputError for an unusable stack."""
    header = _stack_header(path)
    number, box, _ = header.shape
    pixel = header.voxel_angstrom[0]
    return number, box, pixel if math.isfinite(pixel) else 0.0


def stack_size(path: AnyPath) -> Tuple[Optional[int], Optional[int]]:
    """(number of images, box size), None for a missing or damaged stack (its reader reports it)."""
    try:
        return read_stack_header(path)[:2]
    except InputError:
        return None, None


def _stack_header(path: AnyPath) -> MrcHeader:
    subject = f"Image stack {path}"
    header = read_header(path, subject)
    _, rows, columns = header.shape
    if header.compression is not None:
        raise InputError(f"{subject} is compressed ({header.compression}): unpack it first.")
    if rows != columns:
        raise InputError(
            f"{subject} has images of {columns} x {rows} px; square images are needed."
        )
    if header.axes != (1, 2, 3):
        axes = ", ".join(map(str, header.axes))
        raise InputError(
            f"{subject} has axes {axes} in MAPC, MAPR, MAPS; images need 1, 2, 3: write it again."
        )
    return header


class Stack:
    """An image stack that is open for reading.

    Images are read, not memory-mapped: if the file is truncated meanwhile, that is an InputError,
    whereas a memory map would end the program.
    """

    def __init__(self, path: AnyPath):
        self.header = _stack_header(path)
        self._file = os.open(path, os.O_RDONLY)

    def __del__(self):
        if hasattr(self, "_file"):
            os.close(self._file)

    def __len__(self) -> int:
        return self.header.shape[0]

    @property
    def box_size_px(self) -> int:
        return self.header.shape[1]

    def read(self, slices: ArrayLike, box_size_px: Optional[int] = None) -> np.ndarray:
        """(n, D, D) float32 of these slices, from 0; InputError if the stack has changed."""
        slices = np.asarray(slices, dtype=np.int64)
        box_size_px = self.box_size_px if box_size_px is None else box_size_px
        if box_size_px != self.box_size_px or slices.max(initial=-1) >= len(self):
            raise InputError(
                f"{self.header.subject} was replaced while it was read: it has {len(self)} images "
                f"of {self.box_size_px} px now; run again."
            )
        out = np.empty((len(slices), self.box_size_px, self.box_size_px), self.header.dtype)
        # consecutive images are read at once
        starts = np.flatnonzero(np.diff(slices, prepend=slices[:1] - 2) != 1)
        for start, end in zip(starts, [*starts[1:], len(slices)]):
            self._read_into(out[start:end], int(slices[start]))
        return out.astype(np.float32, copy=False)

    def _read_into(self, images: np.ndarray, first: int) -> None:
        image_bytes = images[0].nbytes
        buffer = images.reshape(-1).view(np.uint8).data
        offset, done = self.header.offset + first * image_bytes, 0
        while done < len(buffer):
            try:
                read = os.preadv(self._file, [buffer[done : done + _CHUNK_BYTES]], offset + done)
            except OSError as error:
                raise InputError(
                    f"{self.header.subject} cannot be read ({shown_error(error)}); try again."
                ) from error

            if not read:
                raise InputError(
                    f"{self.header.subject} was truncated while it was read: image "
                    f"{first + done // image_bytes + 1} of {len(self)} is missing; copy it again."
                )
            done += read


def read_stack(path: AnyPath) -> np.ndarray:
    """The images (N, D, D) float32 of a stack that fits into memory."""
    stack = Stack(path)
    return stack.read(np.arange(len(stack)))


class StackWriter:
    """Writes a float32 stack in order, and can be resumed; `finish` renames `<path>.part`.

    The disk space is allocated first, so that a full disk is an error at the beginning.

    Parameters
    ----------
    path : the stack.
    number : number of images.
    box_size_px, pixel_size_angstrom : of the images.
    resume_at : of a stack that was begun, the number of images before the next one; None: begin it.
    """

    def __init__(
        self,
        path: AnyPath,
        number: int,
        box_size_px: int,
        pixel_size_angstrom: float,
        resume_at: Optional[int] = None,
    ):
        self.path = Path(path)
        self.part = _begun(self.path)
        self.number, self.box_size_px, self.written = number, box_size_px, resume_at or 0
        self._image_bytes = 4 * box_size_px**2
        self._size = size = HEADER_BYTES + number * self._image_bytes
        self._file = self._create() if resume_at is None else self._reopen(size)
        try:
            os.posix_fallocate(self._file.fileno(), 0, size)
        except OSError as error:
            self._file.close()
            if resume_at is None:
                remove(self.part)
            raise ResourceError(
                f"{self.path} needs {size / 2**20:.0f} MiB and cannot be allocated "
                f"({error.strerror}); free some space or choose another place."
            ) from error

        if resume_at is None:
            self._file.write(_new_stack_header(number, box_size_px, pixel_size_angstrom))
        self._file.seek(HEADER_BYTES + self.written * self._image_bytes)

    def _create(self) -> BinaryIO:
        try:
            return create(self.part)
        except OSError as error:
            raise ResourceError(
                f"{self.path} cannot be written ({error.strerror}); give another output folder."
            ) from error

    def _reopen(self, size: int) -> BinaryIO:
        try:
            return reopen(self.part, size)
        except OSError as error:
            raise InputError(
                f"{self.part} is not the stack that was begun; remove the folder of the run and "
                "run again."
            ) from error

    def append(self, images: np.ndarray) -> None:
        """Write the next images (B, D, D)."""
        images = np.ascontiguousarray(images, dtype=np.float32)
        if images.shape[1:] != (self.box_size_px,) * 2 or self.written + len(images) > self.number:
            raise ValueError(
                f"expected at most {self.number - self.written} images of {self.box_size_px} px, "
                f"received {images.shape}"
            )
        require_finite(images, str(self.path))
        try:
            self._file.write(images.data)
        except OSError as error:
            raise ResourceError(
                f"{self.path} cannot be written ({error.strerror}); free some space, then run "
                "again."
            ) from error
        self.written += len(images)

    @contextmanager
    def at(self, number: int) -> Iterator[StackWriter]:
        """A writer of the same stack at another image, for a part of it."""
        other = copy.copy(self)
        other.written, other._file = number, self._reopen(self._size)
        try:
            other._file.seek(HEADER_BYTES + number * self._image_bytes)
            yield other
        finally:
            other.close()

    def flush(self) -> int:
        """Force the images to disk; returns how many there are."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self.written

    def close(self) -> None:
        self._file.close()

    def finish(self) -> None:
        """Check that all images are written and give the file its name."""
        if self.written != self.number:
            raise ValueError(f"expected {self.number} images, received {self.written}")
        self.flush()
        self.close()
        move(self.part, self.path)


def _begun(path: Path) -> Path:
    return path.with_name(path.name + TEMPORARY)


def _new_stack_header(number: int, box: int, pixel: float) -> bytes:
    header = np.zeros(1, dtype=mrcfile.dtypes.HEADER_DTYPE)[0]
    header["nx"] = header["ny"] = header["mx"] = header["my"] = box
    header["nz"] = number
    header["mz"] = 1
    header["mode"] = _FLOAT32_MODE
    header["cella"] = (box * pixel, box * pixel, pixel)
    header["cellb"] = (90, 90, 90)
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["dmin"], header["dmax"], header["dmean"], header["rms"] = 0, -1, -2, -1
    header["map"] = b"MAP "
    header["machst"] = (0x44, 0x44, 0, 0)
    header["nversion"] = 20141
    return header.tobytes()
