"""The images of a particle table, streamed from their stacks."""

from __future__ import annotations

import resource
import threading
from collections import OrderedDict
from typing import List, Optional

import numpy as np

from ..errors import InputError
from ..fourier.aberrations import correct
from ..fourier.resampling import resample_images
from ..io.mrc import Stack, read_stack_header
from ..io.star_optics import aberrations_of
from ..types import ParticleTable
from .contrast import contrast_sentences
from .grey_values import GreyValues, Usual

#: Stacks that are open at one time: RELION writes one a micrograph, and a process may open about a
#: thousand files.
_LARGEST_NUMBER_OPEN, _SHARE_OF_DESCRIPTORS = 128, 1 / 8


class ParticleImages:
    """Images of all particles at their own box and pixel size; every stack is checked when this is
    made.

    Raises InputError for a stack that is missing, truncated, not square, has another box than the
    optics say, or holds fewer images than the table asks for.
    """

    def __init__(self, table: ParticleTable):
        if len(table) == 0:
            raise InputError("The particle set is empty; give a set with particles.")
        self.table = table
        self._stacks: OrderedDict[int, Stack] = OrderedDict()
        self._lock = threading.Lock()
        self._most_open = _number_open()
        self._check_stacks()

    def _check_stacks(self) -> None:
        """Every stack has the images that are asked for, of the box size that the optics say."""
        table = self.table
        order = np.argsort(table.stack_index, kind="stable")
        used, begins = np.unique(table.stack_index[order], return_index=True)
        slices, boxes = table.slice_index[order], table.box_size_px[order]
        first, last = (extreme.reduceat(slices, begins) for extreme in (np.minimum, np.maximum))
        smallest, largest = (
            extreme.reduceat(boxes, begins) for extreme in (np.minimum, np.maximum)
        )

        for i, path in enumerate(table.stack_paths[index] for index in used):
            number, box, _ = read_stack_header(path)
            if last[i] >= number or first[i] < 0:
                raise InputError(
                    f"Image {last[i] + 1} of stack {path} is asked for and the stack has {number}; "
                    "give the stack that belongs to the particles."
                )
            if smallest[i] != box or largest[i] != box:
                said = smallest[i] if smallest[i] != box else largest[i]
                raise InputError(
                    f"Stack {path} has images of {box} px and the particle set says {said} px; "
                    "correct rlnImageSize or give the stack that belongs to the particles."
                )

    def __len__(self) -> int:
        return len(self.table)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(n, D, D) float32 of these rows, which must share one box, with white protein where the
        table knows the contrast; InputError names a particle with NaN.
        """
        rows = np.asarray(rows)
        boxes = np.unique(self.table.box_size_px[rows])
        if len(boxes) > 1:
            raise ValueError(f"rows of one box size expected, received {boxes}")
        out = np.empty((len(rows), boxes[0], boxes[0]), dtype=np.float32)
        for index in np.unique(self.table.stack_index[rows]):
            mine = np.flatnonzero(self.table.stack_index[rows] == index)
            out[mine] = self._stack(index).read(self.table.slice_index[rows[mine]], boxes[0])
        sign = np.array([group.sign for group in self.table.optics], np.float32)
        if (sign < 0).any():
            out *= sign[self.table.optics_index[rows], None, None]
        self._check_finite(out, rows)
        return out

    def _stack(self, index: int) -> Stack:
        """The open stack; the least recently used ones are closed."""
        with self._lock:
            if index not in self._stacks:
                self._stacks[index] = Stack(self.table.stack_paths[index])
                if len(self._stacks) > self._most_open:
                    self._stacks.popitem(last=False)
            self._stacks.move_to_end(index)
            return self._stacks[index]

    def _check_finite(self, images: np.ndarray, rows: np.ndarray) -> None:
        bad = np.flatnonzero(~np.isfinite(images.sum(axis=(1, 2), dtype=np.float64)))
        if len(bad):
            row = rows[bad[0]]
            raise InputError(
                f"The image of particle {self.table.ids[row]} (image "
                f"{self.table.slice_index[row] + 1} of "
                f"{self.table.stack_paths[self.table.stack_index[row]]}) holds NaN or infinite "
                "pixels; remove the particle or repair the stack."
            )


def _number_open() -> int:
    """As many as a process with other files, and other sets of images, may keep open here."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return _LARGEST_NUMBER_OPEN
    return max(1, min(_LARGEST_NUMBER_OPEN, int(limit * _SHARE_OF_DESCRIPTORS)))


class ResampledImages:
    """The same at one common box and pixel size (Fourier-cropped or padded), whatever each optics
    group has.

    Grey values have no level and one scale, see `grey_values`. Odd aberrations and anisotropic
    magnification of the optics groups are corrected, see `fourier.aberrations`.

    Parameters
    ----------
    table : the particles.
    box_size_px, pixel_size_angstrom : of the images that are read.
    usual : the usual grey values, if they are known; otherwise they are measured on a sample.
    """

    def __init__(
        self,
        table: ParticleTable,
        box_size_px: int,
        pixel_size_angstrom: float,
        usual: Optional[Usual] = None,
    ):
        self.source = ParticleImages(table)
        self._aberrations = [aberrations_of(group) for group in table.optics]
        self.grey = GreyValues(table, self.source.read, usual)
        self.table, self.box_size_px, self.pixel_size_angstrom = (
            table,
            box_size_px,
            pixel_size_angstrom,
        )

    def __len__(self) -> int:
        return len(self.table)

    @property
    def scale(self) -> np.ndarray:
        """(N,) factor from pixels of the original images to pixels of these."""
        return self.table.pixel_size_angstrom / self.pixel_size_angstrom

    def remarks(self) -> List[str]:
        """What there is to say of images that are not like the others, and of a contrast that seems
        to be inverted.
        """
        return [*self.grey.sentences(), *contrast_sentences(self.table, self.grey)]

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(n, box, box) float32."""
        rows = np.asarray(rows)
        out = np.empty((len(rows), self.box_size_px, self.box_size_px), dtype=np.float32)
        for group in np.unique(self.table.optics_index[rows]):
            mine = np.flatnonzero(self.table.optics_index[rows] == group)
            images = self.grey.read(rows[mine])
            pixel = self.table.optics[group].pixel_size_angstrom
            images = correct(images, self._aberrations[group], pixel)
            out[mine] = resample_images(images, pixel, self.box_size_px, self.pixel_size_angstrom)
        return out
