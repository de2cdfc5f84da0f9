"""Image and volume files of Scipion objects, converted to MRC where necessary."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import List, Tuple

import numpy as np

from ..core.errors import InputError
from ..core.texts import Texts, distinct_rows

logger = logging.getLogger(__name__)

NO_INDEX = 0
_STACKS = (".mrcs", ".mrc", ".st")
_VOLUMES = (".mrc", ".map")
_PIXEL_SIZE_TOLERANCE = 1e-3

#: (stack paths, stack of each particle, slice of each particle from 0) as in `ParticleTable`.
References = Tuple[Tuple[Path, ...], np.ndarray, np.ndarray]


def image_references(
    indices: np.ndarray,
    filenames: Texts,
    converted_stack,
    box_size_px: int,
    pixel_size_angstrom: float,
) -> References:
    """Where the images at these locations are.

    Parameters
    ----------
    indices, filenames : (N,) location of each image as Scipion has it, the index from 1.
    converted_stack : MRC stack for images of formats that the program does not read (SPIDER, HDF,
        single images, ...), which are copied in order. None: no image is read or copied.
    box_size_px, pixel_size_angstrom : of the images.
    """
    first, of_name = distinct_rows([filenames])
    names = filenames[first].tolist()
    stacks = np.array([os.path.splitext(name)[1].lower() in _STACKS for name in names])
    readable = stacks[of_name] & (indices != NO_INDEX)  # single images are too many open files
    if converted_stack is None:
        readable[:] = True
    to_convert = np.flatnonzero(~readable)
    used, found = np.unique(of_name[readable], return_inverse=True)
    paths = [Path(names[k]) for k in used]
    stack_index = np.full(len(indices), len(used), dtype=np.int64)
    stack_index[readable] = found
    slice_index = np.maximum(indices - 1, 0)

    if len(to_convert):
        paths.append(Path(str(converted_stack)))
        slice_index[to_convert] = np.arange(len(to_convert))
        _convert_images(
            [(int(indices[row]), filenames[int(row)]) for row in to_convert],
            converted_stack,
            box_size_px,
            pixel_size_angstrom,
        )

    return tuple(paths), stack_index, slice_index


def _convert_images(locations, target, box_size_px: int, pixel_size_angstrom: float) -> None:
    from pwem.emlib.image import ImageHandler

    from ..core.io.mrc import StackWriter

    logger.info("Copying %d images into the MRC stack %s.", len(locations), target)
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    handler = ImageHandler()
    writer = StackWriter(target, len(locations), box_size_px, pixel_size_angstrom)
    for index, filename in locations:
        location = (index, filename) if index != NO_INDEX else filename
        data = np.asarray(handler.read(location).getData(), dtype=np.float32)
        if data.shape != (box_size_px, box_size_px):
            raise InputError(
                f"Image {index} of {filename} has the shape {data.shape}, but the box size of the "
                f"particle set is {box_size_px} px; extract the particles again with one box size."
            )
        writer.append(data[None])
    writer.finish()


def volume_to_mrc(volume, target) -> None:
    """Write a Scipion Volume to the MRC file `target`, with the pixel size that Scipion has.

    An MRC file with this pixel size is linked, and so is an atomic model; others are copied.
    """
    filename = volume.getFileName().replace(":mrc", "")
    if not os.path.exists(filename):
        raise InputError(f"The volume {filename} does not exist; check the project's files.")
    if model_suffix(volume):
        _link(filename, target)
        return
    pixel_size = volume.getSamplingRate()
    if not pixel_size or pixel_size <= 0:
        raise InputError(
            f"The volume {filename} has the pixel size {pixel_size} in Scipion; import it with "
            "its pixel size (Å/px)."
        )
    if _is_mrc_with_pixel_size(filename, pixel_size):
        _link(filename, target)
        return
    from ..core.io.mrc import write_volume

    logger.info("Copying the volume %s to MRC with %g Å/px.", filename, pixel_size)
    _unlink(target)
    write_volume(target, _volume_data(volume, filename), pixel_size)


def _link(filename: str, target) -> None:
    _unlink(target)
    os.symlink(
        os.path.relpath(
            os.path.realpath(filename), os.path.realpath(os.path.dirname(target) or ".")
        ),
        target,
    )


def _unlink(target) -> None:
    if os.path.lexists(target):
        os.remove(target)


def _is_mrc_with_pixel_size(filename: str, pixel_size: float) -> bool:
    if os.path.splitext(filename)[1].lower() not in _VOLUMES:
        return False
    import mrcfile

    try:
        with mrcfile.open(filename, header_only=True, permissive=True) as mrc:
            spacing = float(mrc.header.cella.x) / max(int(mrc.header.mx), 1)
    except (ValueError, OSError):
        return False
    return abs(spacing - pixel_size) <= _PIXEL_SIZE_TOLERANCE * pixel_size


def _volume_data(volume, filename: str) -> np.ndarray:
    if os.path.splitext(filename)[1].lower() in _VOLUMES:
        import mrcfile

        try:
            with mrcfile.open(filename, permissive=True) as mrc:
                data = np.array(mrc.data, dtype=np.float32)
        except (ValueError, OSError, TypeError) as error:
            raise InputError(
                f"The volume {filename} cannot be read as MRC ({error}); give a valid map."
            ) from error
    else:
        from pwem.emlib.image import ImageHandler

        index = volume.getIndex()
        data = np.squeeze(
            np.asarray(
                ImageHandler().read((index, filename) if index else filename).getData(),
                dtype=np.float32,
            )
        )
    if data.ndim != 3 or len(set(data.shape)) != 1:
        raise InputError(
            f"The volume {filename} has the shape {data.shape}, which is not cubic; crop or pad it."
        )
    return data


def model_suffix(volume) -> str:
    """The extension of the file of an atomic model, such as '.cif.gz'; '' for a volume."""
    name = os.path.basename(volume.getFileName() or "").lower()
    return "".join(re.findall(r"\.(?:pdb|ent|cif|mmcif)(?:\.gz)?$", name))


def volume_problems(volume) -> List[str]:
    """Sentences on why a Volume or AtomStruct cannot be used; only its header is read."""
    filename = (volume.getFileName() or "").replace(":mrc", "")
    if not os.path.exists(filename):
        return [f"The volume {filename} does not exist; check the project's files."]
    if model_suffix(volume):
        return []
    pixel_size = volume.getSamplingRate()
    if not pixel_size or pixel_size <= 0:
        return [
            f"The volume {filename} has the pixel size {pixel_size} in Scipion; import it with "
            "its pixel size (Å/px)."
        ]
    size = volume.getDim()
    if size is None or len(set(size)) != 1:
        return [f"The volume {filename} has the size {size}, which is not cubic; crop or pad it."]
    return []
