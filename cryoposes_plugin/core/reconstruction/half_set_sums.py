"""The Fourier sums of both half sets over some of the particles: they add, and a file holds them."""

from __future__ import annotations

from typing import Iterator, Tuple

import numpy as np

from ..errors import InputError
from ..io.folder import atomic_path
from ..io.npz import NUMBERS, TEXTS, read_npz
from ..particles.grey_values import UNKNOWN
from ..types import AnyPath
from .fourier_inversion import FourierGrid

#: Of the file; a later one may hold something else.
VERSION = 1
_REMEDY = "sum these particles again"
_SUMS = ("sums_1", "sums_2")


class HalfSetSums:
    """The sums of half sets 1 and 2 over those of N particles that were read so far.

    Sums over parts of the particles, added, are the sums over all of them within rounding.

    Attributes
    ----------
    grids : of half sets 1 and 2.
    found : (N,) int8, what was found of each image (`grey_values`); UNKNOWN where it is not in the
        sums.
    """

    def __init__(self, number: int, box_size_px: int, padding: int, symmetry: str):
        self.grids = tuple(FourierGrid(box_size_px, padding, symmetry) for _ in _SUMS)
        self.found = np.full(number, UNKNOWN, np.int8)

    def of_half(self, half: int) -> FourierGrid:
        """The sums of half set 1 or 2."""
        return self.grids[half - 1]

    def add(self, other: HalfSetSums) -> None:
        """Add sums over other particles of the same set; InputError for sums that do not add."""
        self._require_other_particles(_kind(self.grids[0]), _kind(other.grids[0]), other.found)
        for grid, more in zip(self.grids, other.grids):
            grid.add(more)
        self.found = np.maximum(self.found, other.found)

    def add_file(self, path: AnyPath) -> None:
        """The same with the sums of a file, of which one half set at a time is in memory."""
        kind, found = _read_head(path)
        self._require_other_particles(_kind(self.grids[0]), kind, found, f" of {path}")
        for grid, sums in zip(self.grids, _read_sums(path, self.grids[0].sums.shape)):
            grid.sums += sums
        self.found = np.maximum(self.found, found)

    def save(self, path: AnyPath) -> None:
        """Write an npz file, whole or not at all."""
        kind = np.array(_kind(self.grids[0]))
        sums = {name: grid.sums for name, grid in zip(_SUMS, self.grids)}
        with atomic_path(path) as part, open(part, "wb") as handle:
            np.savez(handle, version=np.array(VERSION), kind=kind, found=self.found, **sums)

    @classmethod
    def load(cls, path: AnyPath) -> HalfSetSums:
        """Read what `save` wrote; InputError for a file that holds something else."""
        (box, padding, symmetry), found = _read_head(path)
        sums = cls(len(found), int(box), int(padding), symmetry)
        sums.add_file(path)
        return sums

    def _require_other_particles(
        self, own: Tuple[str, ...], kind: Tuple[str, ...], found: np.ndarray, of_file: str = ""
    ) -> None:
        if own != kind or len(found) != len(self.found):
            raise InputError(
                f"The Fourier sums{of_file} are of {_described(kind, found)} and the ones that "
                f"they are added to of {_described(own, self.found)}; sum all particles with the "
                "same options."
            )
        twice = np.flatnonzero((found != UNKNOWN) & (self.found != UNKNOWN))
        if len(twice):
            raise InputError(
                f"The Fourier sums{of_file} hold {len(twice)} particles that are in the sums "
                f"already (row {twice[0]} is the first); add each particle once."
            )


def _kind(grid: FourierGrid) -> Tuple[str, ...]:
    """Box, padding and point group: what must agree."""
    return str(grid.box_size_px), str(grid.padding), grid.symmetry


def _described(kind: Tuple[str, ...], found: np.ndarray) -> str:
    box, padding, symmetry = kind
    return f"{len(found)} particles of {box} px, padding {padding}, symmetry {symmetry}"


def _read_head(path: AnyPath) -> Tuple[Tuple[str, ...], np.ndarray]:
    """Kind, and (N,) what was found of the images."""
    subject = f"File {path} of Fourier sums"
    names = ("version", "kind", "found")
    head = read_npz(path, subject, _REMEDY, (*names, *_SUMS), names, kinds=NUMBERS + TEXTS)
    version = head["version"]
    if version.shape or version != VERSION:
        raise InputError(f"{subject} has version {version}, not {VERSION}; {_REMEDY}.")
    if head["kind"].shape != (3,) or head["found"].ndim != 1:
        raise InputError(f"{subject} is damaged; {_REMEDY}.")
    return tuple(str(text) for text in head["kind"]), head["found"].astype(np.int8)


def _read_sums(path: AnyPath, shape: Tuple[int, ...]) -> Iterator[np.ndarray]:
    subject = f"File {path} of Fourier sums"
    for name in _SUMS:
        sums = read_npz(path, subject, _REMEDY, (name,), (name,))[name]
        if sums.shape != shape or not np.isfinite(sums.sum()):
            raise InputError(
                f"{subject} has {name} of shape {sums.shape} and {shape} finite numbers are "
                f"expected; {_REMEDY}."
            )
        yield sums
