"""Read the particles of RELION's STAR files, of version 3.0 and 3.1.

`star_grammar` parses the file, `image_paths` finds the file that a stack name means, `star_optics`
reads the optics groups. Columns that are not modelled pass through verbatim, in `extra`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from .. import conventions
from ..errors import InputError
from ..fourier.aberrations import even_columns
from ..scored_pose import without_scores_of_other_poses
from ..scores import PREFIX, is_text
from ..texts import Texts, distinct_rows, texts_together
from ..types import AnyPath, CtfTable, ParticleTable, TextColumn, acquisition_of_particles
from .image_paths import ImageReferences, merge_names, resolve_stacks
from .mrc import stack_size
from .star_columns import ParticleColumns, shown_text
from .star_grammar import Table, read_star
from .star_labels import (
    ANGLES,
    BFACTOR,
    DEFOCUS,
    IMAGE_ID,
    IMAGE_NAME,
    OPTICS_GROUP,
    OPTICS_NAME,
    ORIGINS_ANGSTROM,
    ORIGINS_PX,
    PHASE_SHIFT,
    RANDOM_SUBSET,
    UID_LABEL,
    is_neutral,
)
from .star_optics import Optics, aberrations_of, read_optics, with_true_shifts

logger = logging.getLogger(__name__)

_LARGEST_SLICE = 2**31
_NAMES_AT_ONCE = 65536
_ANY_CTF = DEFOCUS[:2]

#: What `read_star_particles` may require: the columns, what they are called, and the remedy.
_REQUIREMENTS = {
    "poses": (ANGLES, "orientations", "align the particles first, or give particles with angles"),
    "ctf": (_ANY_CTF, "CTF", "estimate the CTF and extract the particles with it"),
    "subset": (
        (RANDOM_SUBSET,),
        "half sets",
        "run a gold-standard refinement, or let half sets be drawn",
    ),
}

#: Columns of images that are not single particles: the value without that meaning, and what the
#: images are with any other value.
_OTHER_KINDS = {
    "rlnTomoSubTomosAre2DStacks": (0.0, "stacks of tilted images"),
    "rlnTomoName": (None, "particles of a tilt series"),
    "rlnTomoParticleName": (None, "particles of a tilt series"),
    "rlnCtfImage": (None, "subtomograms with a three-dimensional CTF"),
    "rlnHelicalTubeID": (0.0, "segments of filaments"),
    "rlnHelicalTrackLength": (0.0, "segments of filaments"),
    "rlnHelicalTrackLengthAngst": (0.0, "segments of filaments"),
}


def read_star_particles(
    path: AnyPath, require: Sequence[str] = (), images_from: Optional[str] = None
) -> ParticleTable:
    """Read a particle STAR file.

    Parameters
    ----------
    path : STAR file.
    require : what must be there, of "poses", "ctf", "subset".
    images_from : folder that the stack names start from, if the file does not tell (see
        `image_paths`).

    Raises
    ------
    InputError : an unreadable or empty file, two tables of particles, a column that is missing or
        holds something that is not a number, an unknown optics group, stack names that may mean
        several files, images that are not single particles, a missing stack whose box size is
        needed.
    """
    path = Path(path)
    particles_table, optics_table = _tables(path)
    columns = particles_table.columns
    _check_requirements(path, columns, require)
    particles = ParticleColumns(path, columns, len(columns[IMAGE_NAME]))

    images = _image_references(path, columns[IMAGE_NAME], images_from)
    optics = read_optics(particles, optics_table, images)
    pixel = np.array([group.pixel_size_angstrom for group in optics.groups])[optics.group_index]
    rotations, shifts = _poses(particles, pixel)
    ids, explicit_ids = _identities(particles, images)

    table = ParticleTable(
        ids=ids,
        stack_paths=images.stack_paths,
        stack_index=images.stack_index,
        slice_index=images.slice_index,
        optics=optics.groups,
        optics_index=optics.group_index,
        rotations=rotations,
        shifts_px=shifts,
        ctf=_ctf(particles, optics),
        random_subset=particles.integers(RANDOM_SUBSET) if RANDOM_SUBSET in columns else None,
        scores={label: particles.floats(label) for label in columns if _is_score(label)},
        extra=_extra(particles, optics, explicit_ids),
        explicit_ids=explicit_ids,
    )
    table = with_true_shifts(table)
    return without_scores_of_other_poses(table, str(path))


def star_stack_paths(path: AnyPath, images_from: Optional[str] = None) -> List[Path]:
    """The stacks that a particle STAR file names, as `read_star_particles` finds them, or missing."""
    path = Path(path)
    particles, _ = _tables(path)
    return list(_image_references(path, particles.columns[IMAGE_NAME], images_from).stack_paths)


def _tables(path: Path) -> Tuple[Table, Optional[Table]]:
    """The table of particles and that of optics groups; InputError if there are two of one kind."""
    if not path.is_file():
        raise InputError(f"Particle file {path} does not exist; check the path.")
    tables = read_star(path)
    particles = _only([t for t in tables if IMAGE_NAME in t.columns], path, "particles")
    if particles is None:
        raise InputError(
            f"{path} has no column _{IMAGE_NAME} with particles in it; give a STAR file of "
            "particles."
        )
    if not len(particles):
        raise InputError(f"{path} holds no particles; give a STAR file with at least one.")

    optics = _only(
        [t for t in tables if t is not particles and _is_optics(t)], path, "optics groups"
    )
    for table in tables:
        _check_kind(path, table)
    return particles, optics


def _is_optics(table: Table) -> bool:
    return OPTICS_NAME in table.columns or table.block.lower() == "optics"


def _only(tables: Sequence[Table], path: Path, what: str) -> Optional[Table]:
    if len(tables) > 1:
        where = " and ".join(f"data_{t.block} (line {t.line})" for t in tables[:2])
        raise InputError(
            f"{path} has {len(tables)} tables of {what}, {where}; give a file with only one."
        )
    return tables[0] if tables else None


def _check_kind(path: Path, table: Table) -> None:
    """InputError for tables of subtomograms, tilt series and filaments."""
    for label, (neutral, what) in _OTHER_KINDS.items():
        distinct = table.columns[label].distinct() if label in table.columns else []
        values = [value for value in distinct if not is_neutral(value, neutral)]
        if values:
            raise InputError(
                f"{path}: _{label} is {values[0]!r}, so these are {what}; give images of single "
                "particles, one projection each."
            )


def _check_requirements(path: Path, columns: Dict[str, Texts], require: Sequence[str]) -> None:
    for name in require:
        labels, what, remedy = _REQUIREMENTS[name]
        for label in labels:
            if label not in columns:
                raise InputError(
                    f"{path} has no column _{label}: the particles have no {what}; {remedy}."
                )


class _Names(NamedTuple):
    """Image names in parts.

    slice_index : (N,) from 0. stacks : (N,) names. numbered : (N,) bool, whether a slice was given.
    """

    slice_index: np.ndarray
    stacks: Texts
    numbered: np.ndarray


def _image_references(star: Path, names: Texts, images_from: Optional[str]) -> ImageReferences:
    """The stack and the slice of each image name, such as 000001@stack.mrcs."""
    parts = [
        _plain_names(names.data[at : at + _NAMES_AT_ONCE])
        or _names(star, names[at : at + _NAMES_AT_ONCE], at)
        for at in range(0, len(names), _NAMES_AT_ONCE)
    ]
    stacks = texts_together([part.stacks for part in parts])
    first, stack_index = distinct_rows([stacks])
    files = resolve_stacks(star, stacks[first].tolist(), images_from)
    without_slice = np.flatnonzero(~np.concatenate([part.numbered for part in parts]))
    if len(without_slice):
        row = int(without_slice[0])
        _check_single(star, names[row], row, files[stack_index[row]])
    slice_index = np.concatenate([part.slice_index for part in parts])
    return merge_names(files, stack_index, slice_index)


def _plain_names(names: np.ndarray) -> Optional[_Names]:
    """Names that are all such as 000001@stack.mrcs; None if one is not."""
    if names.dtype == object:
        return None
    letters = np.ascontiguousarray(names).view(np.uint8).reshape(len(names), -1)
    places = np.arange(letters.shape[1])
    at = (letters == ord("@")).argmax(axis=1)
    within = places < at[:, None]
    digit = (letters >= ord("0")) & (letters <= ord("9"))
    length = (letters != 0).sum(axis=1)
    if (at < 1).any() or (at > 10).any() or (at + 1 >= length).any() or (within & ~digit).any():
        return None

    numbers = np.where(within, letters, 0)[:, : at.max()].astype(np.uint8)
    slice_index = (
        np.ascontiguousarray(numbers).view(f"S{at.max()}").reshape(-1).astype(np.int64) - 1
    )
    if slice_index.min() < 0 or slice_index.max() >= _LARGEST_SLICE - 1:
        return None
    width = int((length - at).max()) - 1
    begins = at[:, None] + 1 + np.arange(width)
    stacks = np.take_along_axis(letters, np.minimum(begins, letters.shape[1] - 1), axis=1)
    stacks[begins >= letters.shape[1]] = 0
    return _Names(
        slice_index, Texts(stacks.view(f"S{width}").reshape(-1)), np.ones(len(names), dtype=bool)
    )


def _names(star: Path, names: Texts, before: int) -> _Names:
    """Names of any kind; `before` come before them. InputError for one that is none."""
    slice_index = np.empty(len(names), dtype=np.int64)
    numbered = np.empty(len(names), dtype=bool)
    stacks: List[str] = []

    for i, name in enumerate(names):
        number, at, stack = name.partition("@")
        if not at:
            number, stack = "1", number
        digits = number.isascii() and number.isdigit() and len(number) < 20
        if not (digits and stack and 1 <= int(number) < _LARGEST_SLICE):
            raise InputError(
                f"{star}: _{IMAGE_NAME} of particle {before + i + 1} is {shown_text(name)!r}; "
                "write it as 000001@stack.mrcs."
            )
        slice_index[i], numbered[i] = int(number) - 1, bool(at)
        stacks.append(stack)
    return _Names(slice_index, Texts.of(stacks), numbered)


def _check_single(star: Path, name: str, row: int, stack: Path) -> None:
    """InputError if a name without a slice is a stack of several images."""
    number = stack_size(stack)[0]
    if number is not None and number > 1:
        raise InputError(
            f"{star}: _{IMAGE_NAME} of particle {row + 1} is {shown_text(name)}, which holds "
            f"{number} images; say which one is meant (as 000001@stack.mrcs). Tilt series and "
            "subtomograms are not supported."
        )


def _poses(
    particles: ParticleColumns, pixel_size_angstrom: np.ndarray
) -> Tuple[Optional[np.ndarray], Optional[np.ndarray]]:
    """Rotations (N, 3, 3) and shifts in pixels (N, 2); None for what the file does not have."""
    has_angles = particles.has(ANGLES)
    origins = particles.complete(ORIGINS_ANGSTROM, ORIGINS_PX)
    shifts = None
    if origins:
        scale = pixel_size_angstrom if origins == ORIGINS_ANGSTROM else 1.0
        shifts = conventions.origin_angstrom_to_shifts_px(particles.stacked(origins), scale)
    elif has_angles:
        _check_no_origins(particles)

    if not has_angles:
        return None, shifts
    rotations = conventions.euler_deg_to_rotations(particles.stacked(ANGLES))
    return rotations, np.zeros((particles.number, 2)) if shifts is None else shifts


def _check_no_origins(particles: ParticleColumns) -> None:
    single = [c for c in (*ORIGINS_ANGSTROM, *ORIGINS_PX) if c in particles.columns]
    if single:
        raise InputError(
            f"{particles.path} has _{single[0]} without the other origin that belongs to it; give "
            f"_{ORIGINS_ANGSTROM[0]} and _{ORIGINS_ANGSTROM[1]}, or no origin."
        )
    logger.warning(
        "%s has angles and no origins (_%s): the origins are taken to be 0.",
        particles.path,
        ORIGINS_ANGSTROM[0],
    )


def _identities(particles: ParticleColumns, images: ImageReferences) -> Tuple[np.ndarray, bool]:
    """(N,) ids, and whether they are those of the file, which are used only if they are unique."""
    counted = np.arange(1, particles.number + 1, dtype=np.int64)
    label = UID_LABEL if UID_LABEL in particles.columns else IMAGE_ID
    if label not in particles.columns:
        return counted, False
    ids = _uids(particles) if label == UID_LABEL else particles.integers(IMAGE_ID)
    if len(np.unique(ids)) == particles.number:
        return ids, True

    _warn_of_shared_id(particles, images, ids)
    return counted, False


def _uids(particles: ParticleColumns) -> np.ndarray:
    """(N,) int64 with the bits of cryoSPARC's uids, which are 64-bit numbers without sign."""
    texts = particles.columns[UID_LABEL]
    numbers = [int(t) if t.isascii() and t.isdigit() and len(t) < 21 else -1 for t in texts]
    wrong = next((t for t, number in zip(texts, numbers) if not 0 <= number < 2**64), None)
    if wrong is not None:
        raise InputError(
            f"{particles.path}: _{UID_LABEL} is {shown_text(wrong)!r}, which is not a uid of "
            "cryoSPARC; remove the column."
        )
    return np.array(numbers, dtype=np.uint64).view(np.int64)


def _warn_of_shared_id(
    particles: ParticleColumns, images: ImageReferences, ids: np.ndarray
) -> None:
    """Name the first two different images with one id; copies of one image may share theirs."""
    paths, stacks, slices = images
    order = np.lexsort((slices, stacks, ids))
    same_id = np.diff(ids[order]) == 0
    other_image = (np.diff(stacks[order]) != 0) | (np.diff(slices[order]) != 0)
    if not (same_id & other_image).any():
        return

    at = int(np.flatnonzero(same_id & other_image)[0])
    first, second = (f"{slices[i] + 1}@{paths[stacks[i]]}" for i in order[at : at + 2])
    logger.warning(
        "%s: _%s %d is given to %s and to %s: the particles are told apart by their images "
        "instead.",
        particles.path,
        IMAGE_ID,
        ids[order[at]],
        first,
        second,
    )


def _ctf(particles: ParticleColumns, optics: Optics) -> Optional[CtfTable]:
    if not particles.has(_ANY_CTF):
        return None
    voltage, aberration, contrast = acquisition_of_particles(
        optics.groups,
        optics.group_index,
        f"{particles.path} has defocus values but no",
        "add the acquisition parameters to the optics table",
    )

    return CtfTable(
        defocus_u_angstrom=particles.floats(DEFOCUS[0]),
        defocus_v_angstrom=particles.floats(DEFOCUS[1]),
        defocus_angle_deg=particles.floats(DEFOCUS[2], 0.0),
        phase_shift_deg=particles.floats(PHASE_SHIFT, 0.0),
        voltage_kv=voltage,
        spherical_aberration_mm=aberration,
        amplitude_contrast=contrast,
        bfactor_angstrom2=particles.floats(BFACTOR, 0.0),
        even_zernike=even_columns([aberrations_of(g) for g in optics.groups], optics.group_index),
    )


def _is_score(label: str) -> bool:
    return label.startswith(PREFIX) and label != UID_LABEL and not is_text(label)


def _extra(particles: ParticleColumns, optics: Optics, explicit_ids: bool) -> Dict[str, TextColumn]:
    """The columns that no other attribute of the table holds, (N,) texts."""
    modelled: Set[str] = {IMAGE_NAME, RANDOM_SUBSET, OPTICS_GROUP, *optics.labels}
    modelled.update(particles.complete(ANGLES), particles.complete(ORIGINS_ANGSTROM, ORIGINS_PX))
    if explicit_ids:
        modelled.add(UID_LABEL if UID_LABEL in particles.columns else IMAGE_ID)
    if particles.has(_ANY_CTF):
        modelled.update(DEFOCUS, (PHASE_SHIFT, BFACTOR))

    return {
        label: values
        for label, values in particles.columns.items()
        if label not in modelled and not _is_score(label)
    }
