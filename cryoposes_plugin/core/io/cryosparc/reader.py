"""Read the particles of cryoSPARC's .cs files.

The conventions are those of pyem's csparc2star, but for shifts, whose pixels are those of the
alignment and not of the images. With v the pose and s the shift of `alignments3D`,

    A = R(v)^T,   t = -s * (pixel size of the alignment) / (pixel size of the images),

where R(v) turns by |v| about v. Angles are in radians, half sets and classes begin with 0. uids are
64-bit numbers without sign; ids are the same bits with sign.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from scipy.spatial.transform import Rotation

from ...errors import InputError
from ...scored_pose import without_scores_of_other_poses
from ...scores import PREFIX, is_text
from ...texts import formatted
from ...types import (
    AnyPath,
    CtfTable,
    OpticsGroup,
    ParticleTable,
    TextColumn,
    acquisition_of_particles,
)
from ...values import check_pixel_size
from ..image_paths import ImageReferences, merge_names, resolve_stacks
from ..star_labels import BEAM_TILT, CLASS_NUMBER, MICROGRAPH_NAME
from .dataset import read_dataset
from .fields import (
    ACQUISITION,
    CTF,
    DEFOCUS_U,
    DEFOCUS_V,
    GROUP,
    INDEX,
    MICROGRAPH,
    OURS,
    PATH,
    PIXEL_SIZE,
    POSES,
    POSES_2D,
    SHAPE,
    SIGN,
    SPHERICAL_ABERRATION,
    TILT,
    UID,
)

_LARGEST_BOX_PX, _LARGEST_SLICE = 2**15, 2**31
_REMEDY = "give with --passthrough the file that has it"
_MM_IN_ANGSTROM, _RAD_IN_MRAD = 1e7, 1e3
#: What `read_particles` may require: the fields, what they are called, and the remedy.
_REQUIREMENTS = {
    "poses": ("orientations", "align the particles first, or give particles with poses"),
    "ctf": ("CTF", "estimate the CTF, or give with --passthrough the file that has it"),
    "subset": ("half sets", "run a refinement with half sets, or let half sets be drawn"),
}


class Fields(NamedTuple):
    """The records of a file; path names it in sentences."""

    path: Path
    records: np.ndarray

    def has(self, *names: str) -> bool:
        return all(name in (self.records.dtype.names or ()) for name in names)

    def numbers(self, name: str, shape: Tuple[int, ...] = (), default: Optional[float] = None):
        """(N, *shape) float64, finite; without the field, the default for every particle.

        Parameters
        ----------
        name : of the field.
        shape : of one particle's value.
        default : None if the field must be there.
        """
        number = len(self.records)
        if not self.has(name):
            if default is None:
                raise InputError(f"{self.path} has no field {name}; {_REMEDY}.")
            return np.full((number, *shape), default)
        values = self.records[name]
        if values.dtype.kind not in "biuf" or values.shape[1:] != shape:
            raise InputError(
                f"{self.path}: the field {name} holds {values.shape[1:]} of {values.dtype} where "
                f"{shape} numbers are expected; export it again."
            )

        values = values.astype(np.float64)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            row = bad[0][0]
            raise InputError(
                f"{self.path}: {name} of the particle with uid {self.records[UID][row]} is "
                f"{values[tuple(bad[0])]}; remove the particle."
            )
        return values

    def decimals(self, name: str, default: Optional[float] = None) -> np.ndarray:
        """(N,) float64 of a field with few different values: 2.95, not the nearest in 32 bits."""
        values = self.numbers(name, (), default)
        if not self.has(name) or self.records[name].dtype.kind == "b":
            return values
        distinct, inverse = np.unique(self.records[name], return_inverse=True)
        return np.array([float(str(value)) for value in distinct])[inverse.reshape(-1)]

    def texts(self, name: str) -> Tuple[List[str], np.ndarray]:
        """The different texts of a field, and (N,) the number of each particle's text."""
        if not self.has(name):
            raise InputError(f"{self.path} has no field {name}; {_REMEDY}.")
        if self.records[name].dtype.kind != "S" or self.records[name].ndim != 1:
            raise InputError(f"{self.path}: the field {name} is not text; export it again.")
        distinct, inverse = np.unique(self.records[name], return_inverse=True)
        names = [text.decode("utf-8", "surrogateescape") for text in distinct.tolist()]
        return names, inverse.reshape(-1)


class Alignment(NamedTuple):
    """Poses as they are in a file.

    vectors : (N, 3) rotation vectors, or None of a 2D classification. shifts_angstrom : (N, 2).
    classes : (N,) from 0. subset : (N,) 1 or 2, or None.
    """

    vectors: Optional[np.ndarray]
    shifts_angstrom: np.ndarray
    classes: np.ndarray
    subset: Optional[np.ndarray]


def read_cs_particles(
    path: AnyPath,
    require: Sequence[str] = (),
    images_from: Optional[str] = None,
    passthrough: Optional[AnyPath] = None,
) -> ParticleTable:
    """Read a .cs file of particles. The records stay with the table, so that they can be written.

    Parameters
    ----------
    path : .cs file.
    require : what must be there, of "poses", "ctf", "subset".
    images_from : folder that the image paths start from; by default the folders above the file,
        where cryoSPARC's project is (see `image_paths`).
    passthrough : .cs file with the fields that are not in the first one.

    Raises
    ------
    InputError : an unreadable or empty file, a field that is missing or holds something impossible,
        images that may be in several files.
    """
    fields = Fields(Path(path), read_dataset(path, passthrough))
    images = _images(fields, images_from)
    optics, optics_index = _optics(fields)
    alignment = read_alignment(fields)
    rotations, shifts = poses_of(fields, alignment)
    ctf = _ctf(fields, optics, optics_index)
    subset = None if alignment is None else alignment.subset
    found = {"poses": rotations, "ctf": ctf, "subset": subset}
    _check_requirements(fields.path, [name for name in require if found[name] is None])

    table = ParticleTable(
        ids=ids_of(fields.records),
        stack_paths=images.stack_paths,
        stack_index=images.stack_index,
        slice_index=images.slice_index,
        optics=optics,
        optics_index=optics_index,
        rotations=rotations,
        shifts_px=shifts,
        ctf=ctf,
        random_subset=subset,
        scores=_scores(fields),
        extra=_extra(fields, alignment),
        records=fields.records,
    )
    return without_scores_of_other_poses(table, str(path))


def cs_stack_paths(
    path: AnyPath, images_from: Optional[str] = None, passthrough: Optional[AnyPath] = None
) -> List[Path]:
    """The stacks that a .cs file names, as `read_cs_particles` finds them, or missing."""
    fields = Fields(Path(path), read_dataset(path, passthrough))
    return list(_images(fields, images_from).stack_paths)


def ids_of(records: np.ndarray) -> np.ndarray:
    """(N,) int64 with the bits of the uids."""
    return np.ascontiguousarray(records[UID], dtype=np.uint64).view(np.int64)


def read_alignment(fields: Fields) -> Optional[Alignment]:
    """The poses of a refinement; else those of each particle's likeliest class; else the shifts of
    a 2D classification; else None.
    """
    if fields.has(f"{POSES}/pose", f"{POSES}/shift"):
        vectors = fields.numbers(f"{POSES}/pose", (3,))
        classes = fields.numbers(f"{POSES}/class", (), 0.0).astype(np.int64)
        return Alignment(vectors, _shifts(fields, POSES), classes, _subset(fields, POSES))

    groups = _classes(fields)
    if groups:
        return _likeliest(fields, groups)
    if fields.has(f"{POSES_2D}/shift"):
        classes = fields.numbers(f"{POSES_2D}/class", (), 0.0).astype(np.int64)
        return Alignment(None, _shifts(fields, POSES_2D), classes, _subset(fields, POSES_2D))
    return None


def poses_of(
    fields: Fields, alignment: Optional[Alignment]
) -> Tuple[Optional[np.ndarray], Optional[np.ndarray]]:
    """Rotations (N, 3, 3) and shifts (N, 2) in pixels of the images; None for what there is not."""
    if alignment is None:
        return None, None
    shifts = -alignment.shifts_angstrom / pixel_sizes(fields)[:, None]
    if alignment.vectors is None:
        return None, shifts
    return Rotation.from_rotvec(-alignment.vectors).as_matrix(), shifts


def pixel_sizes(fields: Fields, name: str = PIXEL_SIZE) -> np.ndarray:
    """(N,) in Å; InputError for one that is not possible."""
    pixels = fields.decimals(name)
    for pixel in np.unique(pixels):
        check_pixel_size(float(pixel), f"{fields.path}: {name}")
    return pixels


def _classes(fields: Fields) -> List[str]:
    """The groups of fields with poses in several classes, such as alignments_class_0."""
    names = fields.records.dtype.names or ()
    groups = [name[: -len("/pose")] for name in names if name.endswith("/pose")]
    return [
        group
        for group in groups
        if group.startswith("alignments") and group != POSES_2D and fields.has(f"{group}/shift")
    ]


def _likeliest(fields: Fields, groups: Sequence[str]) -> Alignment:
    """The poses in the class with the largest posterior probability.

    A group holds one class, or K of them: poses (N, 3) or (N, K, 3).
    """
    vectors, shifts, posteriors = [], [], []
    for group in groups:
        several = fields.records[f"{group}/pose"].shape[1:-1][:1]
        classes = several[0] if several else 1
        vectors.append(fields.numbers(f"{group}/pose", (*several, 3)).reshape(-1, classes, 3))
        shifts.append(_shifts(fields, group, several).reshape(-1, classes, 2))
        posterior = fields.numbers(f"{group}/class_posterior", several, 1.0)
        posteriors.append(posterior.reshape(-1, classes))

    best = np.concatenate(posteriors, axis=1).argmax(axis=1)
    rows = np.arange(len(best))
    return Alignment(
        np.concatenate(vectors, axis=1)[rows, best],
        np.concatenate(shifts, axis=1)[rows, best],
        best,
        _subset(fields, groups[0]),
    )


def _shifts(fields: Fields, group: str, several: Tuple[int, ...] = ()) -> np.ndarray:
    """(N, ..., 2) in Å."""
    own = f"{group}/psize_A"
    pixel = pixel_sizes(fields, own if fields.has(own) else PIXEL_SIZE)
    return fields.numbers(f"{group}/shift", (*several, 2)) * pixel.reshape(
        -1, *(1 for _ in several), 1
    )


def _subset(fields: Fields, group: str) -> Optional[np.ndarray]:
    """(N,) half set 1 or 2; None if all particles are in one, as before any refinement."""
    name = f"{group}/split"
    if not fields.has(name):
        return None
    split = fields.numbers(name)
    other = split[(split != 0) & (split != 1)]
    if len(other):
        raise InputError(f"{fields.path}: {name} is {other[0]:g}; half sets are 0 and 1.")
    return None if (split == split[0]).all() else split.astype(np.int64) + 1


def _images(fields: Fields, images_from: Optional[str]) -> ImageReferences:
    names, index = fields.texts(PATH)
    names = [name.lstrip(">") for name in names]
    wrong = next((name for name in names if not name or "\0" in name), None)
    if wrong is not None:
        raise InputError(f"{fields.path}: {PATH} is {wrong[:60]!r}; give the path of a stack.")
    slices = fields.numbers(INDEX)
    if not ((slices >= 0) & (slices < _LARGEST_SLICE) & (slices % 1 == 0)).all():
        raise InputError(
            f"{fields.path}: {INDEX} is {slices.min():g} to {slices.max():g}; images of a stack are "
            "counted from 0."
        )

    files = resolve_stacks(fields.path, names, images_from)
    return merge_names(files, index, slices.astype(np.int64))


def _optics(fields: Fields) -> Tuple[Tuple[OpticsGroup, ...], np.ndarray]:
    """The different acquisitions, and (N,) that of each particle.

    An exposure group of cryoSPARC in which they differ is several groups.
    """
    columns = [fields.numbers(GROUP, (), 0.0), pixel_sizes(fields), _box_size_px(fields)]
    columns += [_sign(fields), *_beam_tilt_mrad(fields).T]
    known = {name: attribute for name, attribute in ACQUISITION.items() if fields.has(name)}
    columns += [fields.decimals(name) for name in known]
    distinct, index = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
    names = [int(group) for group in distinct[:, 0]]
    tilted = distinct[:, 4:6].any()

    groups = []
    for i, (_, pixel, box, sign, tilt_x, tilt_y, *acquisition) in enumerate(distinct.tolist()):
        group = OpticsGroup(_group_name(names, i), pixel, int(box), sign=int(sign))
        tilt = dict(zip(BEAM_TILT, (f"{tilt_x:.9g}", f"{tilt_y:.9g}"))) if tilted else {}
        known_values = dict(zip(known.values(), acquisition))
        groups.append(dataclasses.replace(group, extra=tilt, **known_values))
    return tuple(groups), index.reshape(-1)


def _group_name(groups: Sequence[int], i: int) -> str:
    name = f"exposureGroup{groups[i]}"
    return name if groups.count(groups[i]) == 1 else f"{name}_{groups[:i].count(groups[i]) + 1}"


def _box_size_px(fields: Fields) -> np.ndarray:
    shape = fields.numbers(SHAPE, (2,))
    wrong = (shape[:, 0] != shape[:, 1]) | (shape[:, 0] < 1) | (shape[:, 0] > _LARGEST_BOX_PX)
    if wrong.any():
        height, width = shape[wrong][0]
        raise InputError(
            f"{fields.path}: {SHAPE} is {height:g} x {width:g} px; give square images of particles."
        )
    return shape[:, 0]


def _sign(fields: Fields) -> np.ndarray:
    sign = fields.numbers(SIGN, (), 1.0)
    other = sign[np.abs(sign) != 1]
    if len(other):
        raise InputError(f"{fields.path}: {SIGN} is {other[0]:g}; it must be 1 or -1.")
    return sign


def _beam_tilt_mrad(fields: Fields) -> np.ndarray:
    """(N, 2) beam tilt; the field holds its sine times the spherical aberration, in Å."""
    tilt = fields.numbers(TILT, (2,), 0.0)
    if not tilt.any():
        return tilt
    aberration = fields.decimals(SPHERICAL_ABERRATION)[:, None] * _MM_IN_ANGSTROM
    if (np.abs(tilt) > np.abs(aberration)).any():
        raise InputError(
            f"{fields.path}: {TILT} is {np.abs(tilt).max():g} Å, more than the spherical "
            "aberration; correct one of the two."
        )
    sine = np.divide(tilt, aberration, out=np.zeros_like(tilt), where=aberration != 0)
    return _RAD_IN_MRAD * np.arcsin(sine)


def _ctf(
    fields: Fields, optics: Tuple[OpticsGroup, ...], optics_index: np.ndarray
) -> Optional[CtfTable]:
    if not fields.has(DEFOCUS_U, DEFOCUS_V):
        return None
    voltage, aberration, contrast = acquisition_of_particles(
        optics, optics_index, f"{fields.path} has defocus values but no", _REMEDY
    )
    values = {
        attribute: fields.numbers(name, (), 0.0) / unit for name, (attribute, unit) in CTF.items()
    }
    return CtfTable(
        **values,
        voltage_kv=voltage,
        spherical_aberration_mm=aberration,
        amplitude_contrast=contrast,
    )


def _scores(fields: Fields) -> Dict[str, np.ndarray]:
    return {
        label: fields.numbers(name) for name, label in _ours(fields).items() if not is_text(label)
    }


def _ours(fields: Fields) -> Dict[str, str]:
    """Our own fields, and the columns that they stand for."""
    names = fields.records.dtype.names or ()
    return {
        name: PREFIX + name[len(OURS) :]
        for name in names
        if name.startswith(OURS) and name[len(OURS) :].isalnum()
    }


def _extra(fields: Fields, alignment: Optional[Alignment]) -> Dict[str, TextColumn]:
    """What other parts of the program look up by RELION's labels, and our texts, as text."""
    wanted = {name: label for name, label in _ours(fields).items() if is_text(label)}
    if fields.has(MICROGRAPH):
        wanted[MICROGRAPH] = MICROGRAPH_NAME

    extra = {}
    for name, label in wanted.items():
        texts, index = fields.texts(name)
        extra[label] = np.array([text.lstrip(">") for text in texts], dtype=object)[index]
    if alignment is not None and alignment.classes.any():
        extra[CLASS_NUMBER] = formatted("%d", alignment.classes + 1)
    return extra


def _check_requirements(path: Path, missing: Sequence[str]) -> None:
    for name in missing:
        what, remedy = _REQUIREMENTS[name]
        raise InputError(f"{path}: the particles have no {what}; {remedy}.")
