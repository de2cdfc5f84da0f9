"""The data passed between the steps: particle tables and volumes. Frames: see `conventions`."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import numpy as np

from .errors import InputError
from .texts import Texts

#: A path as callers give it.
AnyPath = Union[str, "os.PathLike[str]"]

#: (N,) texts: an array of objects if most rows share one text.
TextColumn = Union[np.ndarray, Texts]

#: How images y relate to the CTF C and the projection x: y = C x, y = sign(C) C x, y = C^2 x.
IMAGE_STATES = ("raw", "phase-flipped", "ctf-premultiplied")


@dataclass(frozen=True)
class OpticsGroup:
    """Acquisition shared by many particles; one row of RELION's `data_optics`.

    `None` means that the value is unknown. `extra` holds all other columns verbatim, by STAR label;
    `io.star_optics.aberrations_of` reads beam tilt, aberrations and magnification from them. `sign`
    is -1 if protein is black in the images, which are multiplied by it when they are read.
    """

    name: str
    pixel_size_angstrom: float
    box_size_px: int
    voltage_kv: Optional[float] = None
    spherical_aberration_mm: Optional[float] = None
    amplitude_contrast: Optional[float] = None
    image_state: str = "raw"
    extra: Dict[str, str] = field(default_factory=dict)
    sign: int = 1


@dataclass(frozen=True)
class CtfTable:
    """The CTF of each particle, arrays of shape (N,); underfocus positive.

    The acquisition (voltage, Cs, amplitude contrast) is repeated per particle, so that a row is all
    that `fourier.ctf` needs. even_zernike : (N, E) coefficients of even aberrations, E = 0 for none.
    """

    defocus_u_angstrom: np.ndarray
    defocus_v_angstrom: np.ndarray
    defocus_angle_deg: np.ndarray
    phase_shift_deg: np.ndarray
    voltage_kv: np.ndarray
    spherical_aberration_mm: np.ndarray
    amplitude_contrast: np.ndarray
    bfactor_angstrom2: np.ndarray
    even_zernike: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self):
        if not self.even_zernike.size:
            object.__setattr__(self, "even_zernike", np.zeros((len(self), 0)))

    def __len__(self) -> int:
        return len(self.defocus_u_angstrom)

    def take(self, rows: Any) -> CtfTable:
        return CtfTable(*(getattr(self, f.name)[rows] for f in dataclasses.fields(self)))


def acquisition_of_particles(
    groups: Sequence[OpticsGroup], group_index: np.ndarray, begin: str, remedy: str
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The acquisition parameters that the CTF of each particle needs.

    Parameters
    ----------
    groups : optics groups.
    group_index : (N,) int, the group of each particle.
    begin, remedy : of the sentence "BEGIN voltage; REMEDY."

    Returns
    -------
    Voltage (kV), spherical aberration (mm) and amplitude contrast, (N,) float64 each.

    Raises
    ------
    InputError : a group without one of them.
    """
    columns = []
    for attribute, name in (
        ("voltage_kv", "voltage"),
        ("spherical_aberration_mm", "spherical aberration"),
        ("amplitude_contrast", "amplitude contrast"),
    ):
        values = [getattr(group, attribute) for group in groups]
        if None in values:
            raise InputError(f"{begin} {name}; {remedy}.")
        columns.append(np.array(values, dtype=np.float64)[group_index])
    voltage, aberration, contrast = columns
    return voltage, aberration, contrast


@dataclass(frozen=True)
class ParticleTable:
    """N particles: where their images are and what is known about them, without pixels.

    Attributes
    ----------
    ids : (N,) int64, unique. Particles are joined by these, never by position.
    stack_paths, stack_index, slice_index : image i is slice `slice_index[i]` (from 0) of the stack
        `stack_paths[stack_index[i]]`.
    optics, optics_index : acquisition of particle i is `optics[optics_index[i]]`.
    rotations : (N, 3, 3) float64, the A of `conventions` (volume frame -> image frame), or None.
    shifts_px : (N, 2) float64 (x, y), displacement t of the particle in its own image, of which
        anisotropic magnification is corrected, or None.
    ctf : CtfTable or None.
    random_subset : (N,) int 1 or 2 (half sets), or None.
    scores : our own columns by STAR label without underscore (`cryoposesTrace`, ...), (N,) float64.
    extra : every other column verbatim, by STAR label without underscore, (N,) of str.
    explicit_ids : whether the ids came with the particles (rlnImageId, uid) or were assigned on
        reading.
    records : (N,) structured array, the particles' records in cryoSPARC's file, in which all that
        is not modelled passes through; None if they come from elsewhere.
    """

    ids: np.ndarray
    stack_paths: Tuple[Path, ...]
    stack_index: np.ndarray
    slice_index: np.ndarray
    optics: Tuple[OpticsGroup, ...]
    optics_index: np.ndarray
    rotations: Optional[np.ndarray] = None
    shifts_px: Optional[np.ndarray] = None
    ctf: Optional[CtfTable] = None
    random_subset: Optional[np.ndarray] = None
    scores: Dict[str, np.ndarray] = field(default_factory=dict)
    extra: Dict[str, TextColumn] = field(default_factory=dict)
    explicit_ids: bool = True
    records: Optional[np.ndarray] = None

    def __post_init__(self):
        if len(np.unique(self.ids)) != len(self.ids):
            values, counts = np.unique(self.ids, return_counts=True)
            raise InputError(
                f"Particle id {values[counts > 1][0]} occurs {counts.max()} times; ids must be "
                "unique: remove the duplicates from the particle set."
            )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Any, ids: Optional[np.ndarray] = None) -> ParticleTable:
        """The particles at these positions (indices or a mask), in that order.

        ids : new ones, without which no position may come twice.
        """
        changed: Dict[str, Any] = {}
        for name in (
            "ids",
            "stack_index",
            "slice_index",
            "optics_index",
            "rotations",
            "shifts_px",
            "random_subset",
            "records",
        ):
            value = getattr(self, name)
            changed[name] = None if value is None else value[rows]
        if ids is not None:
            changed["ids"] = ids

        return dataclasses.replace(
            self,
            **changed,
            ctf=None if self.ctf is None else self.ctf.take(rows),
            scores={k: v[rows] for k, v in self.scores.items()},
            extra={k: v[rows] for k, v in self.extra.items()},
        )

    def copy(self) -> ParticleTable:
        """A table whose arrays may be changed without changing those of this one."""
        numbers = self.replace(extra={}).take(np.arange(len(self)))
        texts = {k: v if isinstance(v, Texts) else v.copy() for k, v in self.extra.items()}
        return numbers.replace(extra=texts)

    def replace(self, **changes: Any) -> ParticleTable:
        return dataclasses.replace(self, **changes)

    @property
    def known_shifts_px(self) -> np.ndarray:
        """(N, 2) shifts, 0 where none are given."""
        return np.zeros((len(self), 2)) if self.shifts_px is None else self.shifts_px

    @property
    def pixel_size_angstrom(self) -> np.ndarray:
        """(N,) pixel size of each particle's image."""
        return np.array([o.pixel_size_angstrom for o in self.optics])[self.optics_index]

    @property
    def box_size_px(self) -> np.ndarray:
        """(N,) box size of each particle's image."""
        return np.array([o.box_size_px for o in self.optics])[self.optics_index]


@dataclass(frozen=True)
class Volume:
    """A density `data` (D, D, D) float32, indexed [z, y, x], with its origin at voxel D // 2."""

    data: np.ndarray
    pixel_size_angstrom: float

    @property
    def box_size_px(self) -> int:
        return self.data.shape[0]

    def mirrored(self) -> Volume:
        """V(x, y, -z) about voxel D // 2; in an even box the first layer stays in place."""
        data = self.data[::-1]
        return Volume(
            np.roll(data, 1, axis=0) if self.box_size_px % 2 == 0 else data.copy(),
            self.pixel_size_angstrom,
        )
