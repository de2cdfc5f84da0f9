"""Write particles as a .cs file: the records that they came with, and what has changed in them.

A value that differs from the record by no more than 32 bits can tell stays as it is, to the last
bit. Particles that come from elsewhere get records of their own, with neutral values for what is
not known.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Dict, Iterable

import numpy as np
from scipy.spatial.transform import Rotation

from ...scored_pose import has_scores, scored_poses
from ...scores import POSE_SOURCE, PREFIX, SCORED_POSE
from ...types import AnyPath, CtfTable, ParticleTable
from ...values import require_finite
from ..image_paths import written_name
from ..star_labels import columns_not_modelled
from .dataset import to_records, write_dataset
from .fields import (
    ACQUISITION,
    CTF,
    GROUP,
    INDEX,
    OURS,
    PATH,
    PIXEL_SIZE,
    POSES,
    SHAPE,
    SIGN,
    TILT,
    UID,
)
from .reader import Fields, poses_of, read_alignment

logger = logging.getLogger(__name__)

#: Poses and shifts that differ by less are the same in 32 bits.
_SAME_RAD, _SAME_PX = 2e-7, 1e-5
#: The same of other numbers, in units of their last bit.
_SAME_BITS = 2

#: The columns of a file by name, (N, ...) each.
Columns = Dict[str, np.ndarray]

#: Fields of an alignment that say nothing, and of the CTF: 32-bit value, or integer, and length.
_NEUTRAL_ALIGNMENT = {
    **dict.fromkeys(("error", "error_min", "resid_pow", "slice_pow", "image_pow"), 0.0),
    **dict.fromkeys(("cross_cor", "weight", "pose_ess", "shift_ess"), 0.0),
    **dict.fromkeys(("alpha", "alpha_min", "class_posterior", "class_ess"), 1.0),
}
_NEUTRAL_CTF = {
    "ctf/scale": (1.0, ()),
    "ctf/scale_const": (1.0, ()),
    "ctf/shift_A": (0.0, (2,)),
    TILT: (0.0, (2,)),
    "ctf/trefoil_A": (0.0, (2,)),
    "ctf/tetra_A": (0.0, (4,)),
    "ctf/anisomag": (0.0, (4,)),
}


def write_cs_particles(path: AnyPath, table: ParticleTable) -> None:
    """Write a particle table as cryoSPARC reads it.

    uid, order and every field that the table does not hold are those of the table's records.

    Raises
    ------
    InputError : a value that is not finite.
    """
    columns = _records_of(table) if table.records is None else _columns(table.records)
    columns[UID] = np.ascontiguousarray(table.ids, dtype=np.int64).view(np.uint64)
    _put_images(path, table, columns)
    if table.ctf is not None:
        _put_ctf(table, table.ctf, columns)
    if table.rotations is not None:
        _put_poses(path, table, columns)
    _put_scores(table, columns)

    write_dataset(path, to_records(columns))


def _columns(records: np.ndarray) -> Columns:
    """The fields of the records without our own, which are written anew."""
    names = records.dtype.names or ()
    return {name: records[name].copy() for name in names if not name.startswith(OURS)}


def _records_of(table: ParticleTable) -> Columns:
    """The fields of particles that do not come from cryoSPARC."""
    lost = columns_not_modelled(table)
    if lost:
        logger.warning("A .cs file is written without %s of the particles.", ", ".join(lost))
    number, groups = len(table), table.optics_index
    columns = {
        UID: np.zeros(number, np.uint64),
        PIXEL_SIZE: table.pixel_size_angstrom.astype(np.float32),
        SHAPE: np.repeat(table.box_size_px[:, None], 2, axis=1).astype(np.uint32),
        SIGN: np.array([group.sign for group in table.optics], np.float32)[groups],
    }
    if table.ctf is None:
        return columns

    columns["ctf/type"] = np.full(number, b"imported")
    columns[GROUP] = groups.astype(np.uint32)
    for name, attribute in ACQUISITION.items():
        columns[name] = getattr(table.ctf, attribute).astype(np.float32)
    for name, (value, shape) in _NEUTRAL_CTF.items():
        columns[name] = np.full((number, *shape), value, np.float32)
    return columns


def _put_images(path: AnyPath, table: ParticleTable, columns: Columns) -> None:
    """Paths and slices, unless the records already name these images."""
    if PATH in columns:
        names = [stack.name for stack in table.stack_paths]
        known = np.array([text.rpartition(b"/")[2] for text in columns[PATH].tolist()])
        ours = np.array([name.encode("utf-8", "surrogateescape") for name in names])
        same = np.char.lstrip(known, b">") == ours[table.stack_index]
        if (same & (columns[INDEX] == table.slice_index)).all():
            return
    written = [written_name(stack, Path(path)) for stack in table.stack_paths]
    stacks = np.array([name.encode("utf-8", "surrogateescape") for name in written])
    columns[PATH] = stacks[table.stack_index]
    columns[INDEX] = table.slice_index.astype(np.uint32)


def _put_ctf(table: ParticleTable, ctf: CtfTable, columns: Columns) -> None:
    for name, (attribute, unit) in CTF.items():
        values = np.asarray(getattr(ctf, attribute)) * unit
        if name in columns or table.records is None:
            _put(columns, name, values)


def _put_poses(path: AnyPath, table: ParticleTable, columns: Columns) -> None:
    """Rotation vector and shift of every particle that has moved, and the half sets."""
    rotations = np.asarray(table.rotations)
    shifts = table.known_shifts_px
    require_finite(np.concatenate([rotations.reshape(len(table), 9), shifts], axis=1), str(path))
    moved = np.ones(len(table), bool)
    if table.records is None or not {f"{POSES}/pose", f"{POSES}/shift"} <= set(columns):
        columns.update(_neutral_alignment(table))
    else:
        fields = Fields(Path(path), table.records)
        before, shifts_before = poses_of(fields, read_alignment(fields))
        # |A - B| of two matrices is sqrt(2) times the small angle between the rotations
        turn = np.linalg.norm(rotations - np.asarray(before), axis=(1, 2)) / np.sqrt(2)
        move = np.abs(shifts - np.asarray(shifts_before))
        moved = (turn > _SAME_RAD) | (move > _SAME_PX).any(axis=1)

    if moved.any():
        pixel = columns.get(f"{POSES}/psize_A", columns[PIXEL_SIZE])
        scale = (table.pixel_size_angstrom / pixel)[moved, None]
        columns[f"{POSES}/pose"][moved] = -Rotation.from_matrix(rotations[moved]).as_rotvec()
        columns[f"{POSES}/shift"][moved] = -shifts[moved] * scale
    if table.random_subset is not None:
        split = columns.setdefault(f"{POSES}/split", np.zeros(len(table), np.uint32))
        split[:] = table.random_subset - 1


def _neutral_alignment(table: ParticleTable) -> Columns:
    """All fields of a refinement, for particles that have none."""
    number = len(table)
    return {
        f"{POSES}/split": np.zeros(number, np.uint32),
        f"{POSES}/shift": np.zeros((number, 2), np.float32),
        f"{POSES}/pose": np.zeros((number, 3), np.float32),
        f"{POSES}/psize_A": table.pixel_size_angstrom.astype(np.float32),
        **{f"{POSES}/{n}": np.full(number, v, np.float32) for n, v in _NEUTRAL_ALIGNMENT.items()},
        f"{POSES}/class": np.zeros(number, np.uint32),
    }


def _put_scores(table: ParticleTable, columns: Columns) -> None:
    for label, values in table.scores.items():
        require_finite(values, label)
        columns[OURS + label[len(PREFIX) :]] = values.astype(np.float32)
    texts: Dict[str, Iterable[str]] = {}
    if POSE_SOURCE in table.extra:
        texts[POSE_SOURCE] = table.extra[POSE_SOURCE]
    if has_scores(table):
        texts[SCORED_POSE] = scored_poses(table)
    for label, words in texts.items():
        encoded = [str(word).encode("utf-8", "surrogateescape") for word in words]
        columns[OURS + label[len(PREFIX) :]] = np.array(encoded)


def _put(columns: Columns, name: str, values: np.ndarray) -> None:
    """Numbers (N,) in 32 bits, where they differ from those that are there."""
    require_finite(values, name)
    old = columns.setdefault(name, values.astype(np.float32))
    changed = np.abs(values - old) > _SAME_BITS * np.spacing(np.abs(old))
    old[changed] = values[changed]
