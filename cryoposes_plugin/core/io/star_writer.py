"""Write particles as a STAR file of RELION 3.1."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Set, Union

import numpy as np

from .. import conventions
from ..errors import InputError
from ..scored_pose import has_scores, scored_poses
from ..scores import BASIN_ERROR, COVARIANCE, SCORED_POSE
from ..texts import AnyTexts, Texts, formatted
from ..types import AnyPath, CtfTable, OpticsGroup, ParticleTable
from .image_paths import written_name
from .star_grammar import text_table, write_star
from .star_labels import (
    ACQUISITION,
    ANGLES,
    BFACTOR,
    BOX_SIZE,
    DEFOCUS,
    DIMENSIONALITY,
    IMAGE_ID,
    IMAGE_NAME,
    IMAGE_SIGN,
    OPTICS_GROUP,
    OPTICS_NAME,
    ORIGINS_ANGSTROM,
    ORIGINS_PX,
    PHASE_FLIPPED,
    PHASE_SHIFT,
    PIXEL_SIZE,
    PREMULTIPLIED,
    RANDOM_SUBSET,
    UID_LABEL,
)
from .star_optics import shifts_as_recorded

#: Six decimals are written if they hold a number to this relative precision.
_RELATIVE_PRECISION = 1e-9
#: RELION writes at most twelve characters of a whole number.
_LARGEST_ID = 1e11

#: The text of N rows by label.
Columns = Dict[str, AnyTexts]


def write_star_particles(path: AnyPath, table: ParticleTable) -> None:
    """Write a particle table as RELION 3.1 reads it.

    Stacks are named relative to the working directory, as RELION expects, or by absolute path if
    the relative name would not lead to the same file from elsewhere (see `image_paths`).

    Raises
    ------
    InputError : a value that is not finite, or text that a STAR file cannot hold.
    """
    optics, particles = _optics_columns(table), _particle_columns(path, table)
    tables = text_table("optics", optics, path), text_table("particles", particles, path)
    write_star(path, tables)


def _optics_columns(table: ParticleTable) -> Columns:
    groups = table.optics
    columns: Columns = {
        OPTICS_GROUP: [str(i + 1) for i in range(len(groups))],
        OPTICS_NAME: [group.name for group in groups],
        PIXEL_SIZE: [_group_text(g.pixel_size_angstrom, PIXEL_SIZE, g) for g in groups],
        BOX_SIZE: [str(group.box_size_px) for group in groups],
        DIMENSIONALITY: ["2"] * len(groups),
    }

    for attribute, label in ACQUISITION:
        values = [getattr(group, attribute) for group in groups]
        if any(value is not None for value in values):
            columns[label] = [_group_text(v, label, g) for v, g in zip(values, groups)]

    states = [group.image_state for group in groups]
    if any(state != "raw" for state in states):
        columns[PREMULTIPLIED] = [str(int(state == "ctf-premultiplied")) for state in states]
        columns[PHASE_FLIPPED] = [str(int(state == "phase-flipped")) for state in states]

    if any(group.sign < 0 for group in groups):
        columns[IMAGE_SIGN] = [str(group.sign) for group in groups]
    for label in dict.fromkeys(label for group in groups for label in group.extra):
        columns[label] = [_group_text(g.extra.get(label), label, g) for g in groups]
    return columns


def _group_text(value: Union[None, str, float], label: str, group: OpticsGroup) -> str:
    if value is None:
        raise InputError(
            f"Optics group {group.name} has no _{label} while others have; give it to all groups."
        )
    if isinstance(value, str):
        return value
    if not np.isfinite(value):
        raise InputError(
            f"_{label} of optics group {group.name} is {value}, which cannot be written; give a "
            "finite value."
        )
    text = f"{value:.6f}"
    exact = abs(float(text) - value) <= _RELATIVE_PRECISION * abs(value)
    return text if exact else f"{value:.9g}"


def _particle_columns(path: AnyPath, table: ParticleTable) -> Columns:
    columns: Columns = {
        IMAGE_NAME: _image_names(path, table),
        OPTICS_GROUP: formatted("%d", table.optics_index + 1),
    }
    if table.explicit_ids and (np.abs(table.ids.astype(np.float64)) < _LARGEST_ID).all():
        columns[IMAGE_ID] = formatted("%d", table.ids)
    elif table.explicit_ids:
        columns[UID_LABEL] = formatted("%d", table.ids.astype(np.int64).view(np.uint64))
    columns.update(_pose_columns(table))
    if table.ctf is not None:
        columns.update(_ctf_columns(table, table.ctf))
    if table.random_subset is not None:
        columns[RANDOM_SUBSET] = formatted("%d", table.random_subset)

    columns.update(_extra_columns(table, set(columns)))
    if BASIN_ERROR not in table.scores:
        columns.pop(COVARIANCE, None)  # of an earlier pose
    if has_scores(table):
        columns[SCORED_POSE] = scored_poses(table)
    for label, values in table.scores.items():
        columns[label] = _texts(values, label, table, "%.9g")
    return columns


def _image_names(path: AnyPath, table: ParticleTable) -> Texts:
    """(N,) such as 000001@stack.mrcs; InputError for a name that a STAR file cannot hold."""
    names = [written_name(stack, Path(path)) for stack in table.stack_paths]
    stacks = text_table("stacks", {IMAGE_NAME: names}, path).columns[IMAGE_NAME].data
    numbers = formatted("%06d@", table.slice_index + 1).data
    if stacks.dtype == object:
        return Texts(numbers.astype(object) + stacks[table.stack_index])
    return Texts(np.char.add(numbers, stacks[table.stack_index]))


def _pose_columns(table: ParticleTable) -> Columns:
    columns: Columns = {}
    if table.rotations is not None:
        angles = conventions.rotations_to_euler_deg(table.rotations)
        for i, label in enumerate(ANGLES):
            columns[label] = _texts(angles[:, i], label, table)
    if table.shifts_px is not None:
        pixel = table.pixel_size_angstrom
        origin = conventions.shifts_px_to_origin_angstrom(shifts_as_recorded(table), pixel)
        for i, label in enumerate(ORIGINS_ANGSTROM):
            columns[label] = _texts(origin[:, i], label, table)
    return columns


def _ctf_columns(table: ParticleTable, ctf: CtfTable) -> Columns:
    columns: Columns = {}
    defocus = (ctf.defocus_u_angstrom, ctf.defocus_v_angstrom, ctf.defocus_angle_deg)
    for label, values in zip(DEFOCUS, defocus):
        columns[label] = _texts(values, label, table)
    columns[PHASE_SHIFT] = _texts(ctf.phase_shift_deg, PHASE_SHIFT, table)
    if ctf.bfactor_angstrom2.any():
        columns[BFACTOR] = _texts(ctf.bfactor_angstrom2, BFACTOR, table)
    return columns


def _extra_columns(table: ParticleTable, written: Set[str]) -> Columns:
    """The columns that pass through, without old angles or origins that contradict the poses."""
    if table.rotations is not None:
        written = written.union(ANGLES)
    if table.shifts_px is not None:
        written = written.union(ORIGINS_ANGSTROM, ORIGINS_PX)
    return {label: values for label, values in table.extra.items() if label not in written}


def _texts(values: np.ndarray, label: str, table: ParticleTable, pattern: str = "%.6f") -> Texts:
    """(N,) numbers as text; InputError if one is not finite."""
    numbers = np.asarray(values, dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise InputError(
            f"_{label} of particle {table.ids[wrong[0]]} is {numbers[wrong[0]]}, which cannot be "
            "written; remove the particle or give a finite value."
        )
    return formatted(pattern, numbers)
