"""MRC files: volumes read whole, stacks memory-mapped, both written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Tuple

import mrcfile
import numpy as np

from ..errors import InputError, ResourceError
from ..types import Volume
from .run_directory import atomic_path

HEADER_BYTES = 1024
_FLOAT32_MODE = 2


def read_volume(path) -> Volume:
    """A cubic, finite MRC map (gzipped or not), float32; InputError otherwise."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Volume {path} does not exist; check the path.")
    try:
        with mrcfile.open(path, permissive=False) as mrc:
            data, pixel = np.asarray(mrc.data, dtype=np.float32), mrc.voxel_size
    except (ValueError, OSError, RuntimeWarning) as error:
        raise InputError(f"Volume {path} cannot be read as MRC ({error}); give a valid MRC map.") from error
    if data.ndim != 3 or len(set(data.shape)) != 1:
        shape = " x ".join(str(n) for n in data.shape[::-1])
        raise InputError(f"Volume {path} is {shape} voxels; a cubic map is needed: pad it to a cube first.")
    sizes = [float(pixel[axis]) for axis in "xyz"]
    if min(sizes) <= 0 or max(sizes) - min(sizes) > 1e-3 * max(sizes):
        raise InputError(
            f"Volume {path} has voxel size {sizes[0]:g} x {sizes[1]:g} x {sizes[2]:g} Å; one positive size is "
            "needed: set it in the header."
        )
    if not np.isfinite(data).all():
        raise InputError(
            f"Volume {path} holds {int((~np.isfinite(data)).sum())} NaN or infinite voxels; repair the map."
        )
    if data.min() == data.max():
        raise InputError(f"Volume {path} is constant ({data.flat[0]:g} everywhere); give a map with density.")
    return Volume(np.ascontiguousarray(data), sizes[0])


def write_volume(path, data: np.ndarray, pixel_size_angstrom: float) -> None:
    """(D, D, D) -> float32 MRC."""
    _write(path, data, pixel_size_angstrom, volume=True)


def write_stack(path, images: np.ndarray, pixel_size_angstrom: float) -> None:
    """(N, D, D) -> float32 MRC stack, for stacks that fit into memory."""
    _write(path, images, pixel_size_angstrom, volume=False)


def _write(path, data, pixel_size_angstrom: float, volume: bool) -> None:
    with atomic_path(path) as part:
        with mrcfile.new(part, overwrite=True) as mrc:
            mrc.set_data(np.asarray(data, dtype=np.float32))
            mrc.set_volume() if volume else mrc.set_image_stack()
            mrc.voxel_size = pixel_size_angstrom


def read_stack_header(path) -> Tuple[int, int, float]:
    """(number of images, box size, pixel size in Å, 0 if unset); InputError for a stack that is cut or not square."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Image stack {path} does not exist; check rlnImageName or the working directory.")
    try:
        with mrcfile.open(path, header_only=True, permissive=True) as mrc:
            header = mrc.header
            nx, ny, nz, mode = (int(header[k]) for k in ("nx", "ny", "nz", "mode"))
            extended, pixel = int(header.nsymbt), float(header.cella.x) / max(int(header.mx), 1)
            dtype = mrcfile.utils.data_dtype_from_header(header)
    except (ValueError, OSError) as error:
        raise InputError(f"Image stack {path} cannot be read as MRC ({error}); give a valid MRC stack.") from error
    if nx != ny:
        raise InputError(f"Image stack {path} has images of {nx} x {ny} px; square images are needed.")
    if mode not in (0, 1, 2, 6, 12):
        raise InputError(f"Image stack {path} has MRC mode {mode}; real images (mode 0, 1, 2, 6 or 12) are needed.")
    need = HEADER_BYTES + extended + nx * ny * nz * dtype.itemsize
    have = path.stat().st_size
    if have < need:
        raise InputError(
            f"Image stack {path} is truncated: it has {have} bytes and {nz} images of {nx} px need {need}; copy "
            "it again."
        )
    return nz, nx, pixel


def map_stack(path) -> np.ndarray:
    """(N, D, D) memory map, read-only, of the file's own dtype."""
    with mrcfile.mmap(path, mode="r", permissive=True) as mrc:
        data = mrc.data
    return data if data.ndim == 3 else data[None]


class StackWriter:
    """Writes a float32 stack of n images in order, resumably: `<path>.part` until `finish` renames it.

    The space is allocated first (a full disk is an error then, not a crash later); `resume_at` is the number of images
    that a caller knows to be on disk.
    """

    def __init__(self, path, number: int, box_size_px: int, pixel_size_angstrom: float, resume_at: int = 0):
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.number, self.box_size_px, self.written = number, box_size_px, resume_at
        self._image_bytes = 4 * box_size_px**2
        size = HEADER_BYTES + number * self._image_bytes
        if resume_at and (not self.part.exists() or self.part.stat().st_size != size):
            raise InputError(f"{self.part} is not the stack that was begun; remove the run's folder and start anew.")
        try:
            self._file = open(self.part, "r+b" if resume_at else "w+b")
            os.posix_fallocate(self._file.fileno(), 0, size)
        except OSError as error:
            if not resume_at:
                self.part.unlink(missing_ok=True)
            raise ResourceError(
                f"{self.path} needs {size / 2**20:.0f} MiB and cannot be allocated ({error.strerror}); free "
                "some space or choose another place."
            ) from error
        if not resume_at:
            self._file.write(_stack_header(number, box_size_px, pixel_size_angstrom))
        self._file.seek(HEADER_BYTES + resume_at * self._image_bytes)

    def append(self, images: np.ndarray) -> None:
        """(B, D, D) next images."""
        images = np.ascontiguousarray(images, dtype=np.float32)
        if images.shape[1:] != (self.box_size_px,) * 2 or self.written + len(images) > self.number:
            raise ValueError(
                f"expected at most {self.number - self.written} images of {self.box_size_px} px, received "
                f"{images.shape}"
            )
        try:
            self._file.write(images.data)
        except OSError as error:
            raise ResourceError(
                f"{self.path} cannot be written ({error.strerror}); free some space, then run again."
            ) from error
        self.written += len(images)

    def flush(self) -> int:
        """Force to disk; returns how many images are there for certain."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self.written

    def close(self) -> None:
        self._file.close()

    def finish(self) -> None:
        """Check that all images are there and give the file its name."""
        if self.written != self.number:
            raise ValueError(f"expected {self.number} images, received {self.written}")
        self.flush()
        self.close()
        os.replace(self.part, self.path)


def _stack_header(number: int, box: int, pixel: float) -> bytes:
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
