"""RELION particle STAR files: 3.0 and 3.1 are read, 3.1 is written. The STAR labels live here (and in scipion.convert).

`star_grammar` parses the file, `image_paths` says which file a stack name means. Columns that are not modelled travel
verbatim in `extra`.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .. import conventions
from ..errors import InputError
from ..scored_pose import has_scores, scored_poses, without_scores_of_other_poses
from ..scores import POSE_SOURCE as POSE_SOURCE
from ..scores import PREFIX, SCORED_POSE, TEXTS
from ..types import CtfTable, OpticsGroup, ParticleTable
from .image_paths import resolve_stacks, written_name
from .mrc import read_stack_header
from .star_grammar import Table, read_star, write_star

logger = logging.getLogger(__name__)

# Labels other modules may pass through `ParticleTable.extra`.
COORDINATE_X, COORDINATE_Y = "rlnCoordinateX", "rlnCoordinateY"
MICROGRAPH_NAME, CLASS_NUMBER = "rlnMicrographName", "rlnClassNumber"

_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_ORIGINS_ANGSTROM = ("rlnOriginXAngst", "rlnOriginYAngst")
_ORIGINS_PX = ("rlnOriginX", "rlnOriginY")
_DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
_PHASE_SHIFT, _BFACTOR = "rlnPhaseShift", "rlnCtfBfactor"
_IMAGE_NAME, _IMAGE_ID, _SUBSET, _OPTICS = (
    "rlnImageName",
    "rlnImageId",
    "rlnRandomSubset",
    "rlnOpticsGroup",
)
_VOLTAGE, _CS, _AMPLITUDE = "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"
_PIXEL, _BOX, _NAME, _DIMENSION = (
    "rlnImagePixelSize",
    "rlnImageSize",
    "rlnOpticsGroupName",
    "rlnImageDimensionality",
)
_OLD_PIXEL, _MAGNIFICATION, _DETECTOR = "rlnPixelSize", "rlnMagnification", "rlnDetectorPixelSize"
_PREMULTIPLIED, _FLIPPED = "rlnCtfDataAreCtfPremultiplied", "rlnCtfDataArePhaseFlipped"

_RELATIVE_DIGITS = 1e-9
_DIMENSION_2D, _LARGEST_BOX_PX, _LARGEST_SLICE = "2", 2**15, 2**31
_LONGEST_SHOWN = 100
#: Pixel sizes nearer than this to each other, relatively, are one.
SAME_PIXEL_SIZE = 1e-4
#: Columns from which a user may take the pixel size that is missing.
_OTHER_PIXEL_SIZES = (
    _OLD_PIXEL,
    "rlnMicrographOriginalPixelSize",
    "rlnMicrographPixelSize",
    _DETECTOR,
)
#: Columns of images that are no single particles: the value that does not mean it, and what they are otherwise.
_OTHER_KINDS = {
    "rlnTomoSubTomosAre2DStacks": (0.0, "stacks of tilted images"),
    "rlnTomoName": (None, "particles of a tilt series"),
    "rlnTomoParticleName": (None, "particles of a tilt series"),
    "rlnCtfImage": (None, "subtomograms, with a CTF in three dimensions"),
    "rlnHelicalTubeID": (0.0, "segments of filaments"),
    "rlnHelicalTrackLength": (0.0, "segments of filaments"),
    "rlnHelicalTrackLengthAngst": (0.0, "segments of filaments"),
}

#: Columns that matter to the image and that the forward model leaves out, and the number that says that there is
#: nothing to model (None: any value does): they pass through and are named in reports.
NOT_MODELLED: Dict[str, Optional[float]] = {
    "rlnBeamTiltX": 0.0,
    "rlnBeamTiltY": 0.0,
    "rlnOddZernike": 0.0,
    "rlnEvenZernike": 0.0,
    "rlnMagMat00": 1.0,
    "rlnMagMat01": 0.0,
    "rlnMagMat10": 0.0,
    "rlnMagMat11": 1.0,
    "rlnMtfFileName": None,
    "rlnCtfScalefactor": 1.0,
}

#: Nearer than this to the neutral value, a number says nothing.
_NEUTRAL = 1e-6

_REQUIREMENTS = {
    "poses": (_ANGLES, "orientations", "align the particles first, or give particles with angles"),
    "ctf": (_DEFOCUS[:2], "CTF", "estimate the CTF and extract the particles with it"),
    "subset": (
        (_SUBSET,),
        "half sets",
        "run a gold-standard refinement, or let half sets be drawn",
    ),
}


def read_particles(
    path, require: Sequence[str] = (), images_from: Optional[str] = None
) -> ParticleTable:
    """Read a particle STAR file.

    Parameters
    ----------
    path : STAR file.
    require : what must be there, of "poses", "ctf", "subset".
    images_from : folder that the stack names begin in, where they do not say it (see `image_paths`).

    Raises
    ------
    InputError : unreadable or empty file, two tables of particles, a column that is missing or holds something that is
        no number, unknown optics group, stack names that may mean several files, particles that are no single ones in
        two dimensions, missing stack where the box size has to be read from it.
    """
    path = Path(path)
    particles, optics_table = _tables(path)
    columns = particles.columns
    for name in require:
        labels, what, remedy = _REQUIREMENTS[name]
        for label in labels:
            if label not in columns:
                raise InputError(
                    f"{path} has no column _{label}: the particles have no {what}; {remedy}."
                )
    reader = _Reader(path, columns)
    stack_paths, stack_index, slice_index = _image_references(
        path, reader.take(_IMAGE_NAME), images_from
    )
    optics, optics_index = reader.optics(optics_table, stack_paths, stack_index)
    pixel = np.array([o.pixel_size_angstrom for o in optics])[optics_index]
    rotations, shifts = reader.poses(pixel)
    ids, explicit = reader.identities(stack_paths, stack_index, slice_index)
    table = ParticleTable(
        ids=ids,
        stack_paths=stack_paths,
        stack_index=stack_index,
        slice_index=slice_index,
        optics=optics,
        optics_index=optics_index,
        rotations=rotations,
        shifts_px=shifts,
        ctf=reader.ctf(optics, optics_index),
        random_subset=reader.integers(_SUBSET) if _SUBSET in columns else None,
        scores=reader.scores(),
        extra=reader.remaining(),
        explicit_ids=explicit,
    )
    return without_scores_of_other_poses(table, str(path))


def stack_paths(path, images_from: Optional[str] = None) -> List[Path]:
    """The stacks that a particle STAR file names, as `read_particles` finds them, the missing ones included."""
    path = Path(path)
    particles, _ = _tables(path)
    return list(_image_references(path, particles.columns[_IMAGE_NAME], images_from)[0])


def _tables(path: Path) -> Tuple[Table, Optional[Table]]:
    """The table of particles and that of optics groups; InputError for two of one kind, or another kind of image."""
    if not path.is_file():
        raise InputError(f"Particle file {path} does not exist; check the path.")
    tables = read_star(path)
    particles = _only([t for t in tables if _IMAGE_NAME in t.columns], path, "particles")
    if particles is None:
        raise InputError(
            f"{path} has no column _{_IMAGE_NAME} with particles in it; give a STAR file of particles."
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
    return _NAME in table.columns or table.block.lower() == "optics"


def _only(tables: Sequence[Table], path: Path, what: str) -> Optional[Table]:
    if len(tables) > 1:
        where = " and ".join(f"data_{t.block} (line {t.line})" for t in tables[:2])
        raise InputError(
            f"{path} has {len(tables)} tables of {what}, {where}; give a file with one of them."
        )
    return tables[0] if tables else None


def _check_kind(path: Path, table: Table) -> None:
    """InputError for tables of subtomograms, tilt series and filaments."""
    for label, (neutral, what) in _OTHER_KINDS.items():
        values = [
            v for v in dict.fromkeys(table.columns.get(label, [])) if not _is_neutral(v, neutral)
        ]
        if values:
            raise InputError(
                f"{path}: _{label} is {values[0]!r}, so these are {what}; only images of single particles are worked "
                "on, one projection each."
            )


class _Reader:
    """Takes typed columns out of the text columns; what is not taken remains verbatim."""

    def __init__(self, path: Path, columns: Dict[str, List[str]]):
        self.path, self.columns, self.taken = path, columns, {_SUBSET, _OPTICS}
        self.number = len(columns[_IMAGE_NAME])

    def take(self, label: str) -> List[str]:
        self.taken.add(label)
        return self.columns[label]

    def floats(self, label: str, default: Optional[float] = None) -> np.ndarray:
        if label not in self.columns:
            if default is None:
                raise InputError(f"{self.path} has no column _{label}; give a complete STAR file.")
            return np.full(self.number, default)
        values = self.take(label)
        return _to_floats(values, label, self.path)

    def integers(self, label: str) -> np.ndarray:
        return _to_integers(self.take(label), label, self.path)

    def identities(self, stack_paths, stack_index, slice_index) -> Tuple[np.ndarray, bool]:
        """(N,) ids, and whether they are those of the file: only if they tell the particles apart."""
        counted = np.arange(1, self.number + 1, dtype=np.int64)
        if _IMAGE_ID not in self.columns:
            return counted, False
        ids = self.integers(_IMAGE_ID)
        if len(np.unique(ids)) == self.number:
            return ids, True
        self.taken.discard(_IMAGE_ID)
        order = np.lexsort((slice_index, stack_index, ids))
        same_id = np.diff(ids[order]) == 0
        other_image = (np.diff(stack_index[order]) != 0) | (np.diff(slice_index[order]) != 0)
        if (same_id & other_image).any():
            at = int(np.flatnonzero(same_id & other_image)[0])
            first, second = (
                f"{slice_index[i] + 1}@{stack_paths[stack_index[i]]}" for i in order[at : at + 2]
            )
            logger.warning(
                f"{self.path}: _{_IMAGE_ID} {ids[order[at]]} is given to {first} and to {second}: the particles are "
                "told apart by their images instead."
            )
        return counted, False

    def poses(self, pixel: np.ndarray) -> Tuple[Optional[np.ndarray], Optional[np.ndarray]]:
        posed = all(c in self.columns for c in _ANGLES)
        shifts = None
        if all(c in self.columns for c in _ORIGINS_ANGSTROM):
            origin = np.stack([self.floats(c) for c in _ORIGINS_ANGSTROM], axis=1)
            shifts = conventions.origin_angstrom_to_shifts_px(origin, pixel)
        elif all(c in self.columns for c in _ORIGINS_PX):
            shifts = conventions.origin_angstrom_to_shifts_px(
                np.stack([self.floats(c) for c in _ORIGINS_PX], axis=1), 1.0
            )
        elif posed:
            self._check_no_origins()
        if not posed:
            return None, shifts
        rotations = conventions.euler_deg_to_rotations(
            np.stack([self.floats(c) for c in _ANGLES], axis=1)
        )
        return rotations, np.zeros((self.number, 2)) if shifts is None else shifts

    def _check_no_origins(self) -> None:
        lone = [c for c in (*_ORIGINS_ANGSTROM, *_ORIGINS_PX) if c in self.columns]
        if lone:
            raise InputError(
                f"{self.path} has _{lone[0]} and no other origin that belongs to it; give _{_ORIGINS_ANGSTROM[0]} and "
                f"_{_ORIGINS_ANGSTROM[1]}, or no origin."
            )
        logger.warning(
            f"{self.path} has angles and no origins (_{_ORIGINS_ANGSTROM[0]}): they are taken to be 0."
        )

    def ctf(self, optics, optics_index) -> Optional[CtfTable]:
        if not all(c in self.columns for c in _DEFOCUS[:2]):
            return None
        acquisition: List[np.ndarray] = []
        for attribute, label in (
            ("voltage_kv", _VOLTAGE),
            ("spherical_aberration_mm", _CS),
            ("amplitude_contrast", _AMPLITUDE),
        ):
            values = [getattr(o, attribute) for o in optics]
            if None in values:
                raise InputError(
                    f"{self.path} has defocus values and no _{label}; add the acquisition parameters to the optics "
                    "table."
                )
            acquisition.append(np.array(values, dtype=np.float64)[optics_index])
        voltage, aberration, contrast = acquisition
        return CtfTable(
            self.floats(_DEFOCUS[0]),
            self.floats(_DEFOCUS[1]),
            self.floats(_DEFOCUS[2], 0.0),
            self.floats(_PHASE_SHIFT, 0.0),
            voltage,
            aberration,
            contrast,
            self.floats(_BFACTOR, 0.0),
        )

    def optics(
        self, table: Optional[Table], stack_paths, stack_index
    ) -> Tuple[Tuple[OpticsGroup, ...], np.ndarray]:
        if table is None or not len(table):
            return self._optics_of_30(stack_paths, stack_index)
        columns, number = table.columns, len(table)
        counted = [str(i + 1) for i in range(number)]
        numbers = _to_integers(columns.get(_OPTICS, counted), _OPTICS, self.path, _optics_row)
        wanted = self._optics_numbers(numbers)
        order = np.argsort(numbers)
        index = order[np.searchsorted(numbers[order], wanted)]
        rows = [{label: values[i] for label, values in columns.items()} for i in range(number)]
        return tuple(
            self._group(row, stack_paths, stack_index[index == i]) for i, row in enumerate(rows)
        ), index

    def _optics_numbers(self, numbers: np.ndarray) -> np.ndarray:
        """(N,) the group of each particle, of those that the optics table has."""
        values, counts = np.unique(numbers, return_counts=True)
        if (counts > 1).any():
            raise InputError(
                f"{self.path}: the optics table has group {values[counts > 1][0]} (_{_OPTICS}) {counts.max()} times; "
                "number the groups differently."
            )
        if _OPTICS not in self.columns and len(numbers) > 1:
            raise InputError(
                f"{self.path} has {len(numbers)} optics groups and the particles have no column _{_OPTICS}, so which "
                "is whose is not known; add the column."
            )
        wanted = (
            self.integers(_OPTICS) if _OPTICS in self.columns else np.full(self.number, numbers[0])
        )
        unknown = np.setdiff1d(wanted, numbers)
        if len(unknown):
            row = int(np.flatnonzero(wanted == unknown[0])[0])
            raise InputError(
                f"{self.path}: particle {row + 1} is of optics group {unknown[0]} and the optics table has no such "
                "group; add it."
            )
        return wanted

    def _optics_of_30(self, stack_paths, stack_index):
        labels = [
            c
            for c in (
                _VOLTAGE,
                _CS,
                _AMPLITUDE,
                _PIXEL,
                _MAGNIFICATION,
                _DETECTOR,
                _FLIPPED,
                _PREMULTIPLIED,
            )
            if c in self.columns
        ]
        measured = _MAGNIFICATION in labels and _DETECTOR in labels
        if _PIXEL not in labels and not measured and self._has_old_pixel_only(self.columns):
            labels.append(_OLD_PIXEL)
        elif _PIXEL not in labels and not measured:
            raise InputError(
                f"{self.path} has no optics table (data_optics) and its particles have no pixel size; add the table, "
                f"or a column _{_PIXEL}, or _{_MAGNIFICATION} and _{_DETECTOR}."
            )
        keys = list(zip(*(self.take(c) for c in labels)))
        rows, group_of = self._rows_of_30(labels, keys)
        index = np.array([group_of[key] for key in keys])
        return tuple(
            self._group(row, stack_paths, stack_index[index == i]) for i, row in enumerate(rows)
        ), index

    def _rows_of_30(self, labels: Sequence[str], keys: Sequence[Tuple[str, ...]]):
        """Rows as of an optics table, and which one the values of the labels belong to.

        Values that differ in the pixel size alone, and there by less than anyone measures, have one row.
        """
        rows: List[Dict[str, str]] = []
        group_of: Dict[Tuple[str, ...], int] = {}
        known: Dict[Tuple[str, ...], List[Tuple[float, int]]] = {}
        first_with: Dict[Tuple[str, ...], int] = {}
        for i, key in enumerate(keys):
            first_with.setdefault(key, i)
        for key, first in first_with.items():
            row = dict(zip(labels, key))
            if _PIXEL not in row and _OLD_PIXEL not in row:
                row[_PIXEL] = self._pixel_of_30(row, first)
            pixel = self._pixel_number(row, first)
            others = tuple(
                v
                for c, v in row.items()
                if c not in (_PIXEL, _OLD_PIXEL, _MAGNIFICATION, _DETECTOR)
            )
            alike = known.setdefault(others, [])
            group = next(
                (i for size, i in alike if abs(pixel - size) <= SAME_PIXEL_SIZE * abs(size)),
                len(rows),
            )
            if group == len(rows):
                alike.append((pixel, group))
                rows.append({**row, _NAME: f"opticsGroup{group + 1}"})
            group_of[key] = group
        return rows, group_of

    def _pixel_number(self, row: Dict[str, str], first: int) -> float:
        label = _PIXEL if _PIXEL in row else _OLD_PIXEL
        return float(_to_floats([row[label]], label, self.path, lambda _: _particle(first))[0])

    def _has_old_pixel_only(self, labels) -> bool:
        """Whether the pixel size can be that of RELION 3.0's label, as there is no other one."""
        return [
            label for label in _OTHER_PIXEL_SIZES if label in labels or label in self.columns
        ] == [_OLD_PIXEL]

    def _pixel_of_30(self, row: Dict[str, str], first: int) -> str:
        """From the detector's pixel in µm and the magnification."""

        def positive(label: str) -> float:
            value = float(_to_floats([row[label]], label, self.path, lambda _: _particle(first))[0])
            if value <= 0:
                raise InputError(
                    f"{self.path}: _{label} of {_particle(first)} is {row[label]}, which gives no pixel size; "
                    f"correct it, or add a column _{_PIXEL}."
                )
            return value

        return repr(1e4 * positive(_DETECTOR) / positive(_MAGNIFICATION))

    def _group(self, row: Dict[str, str], stack_paths, stack_index) -> OpticsGroup:
        row = dict(row)
        row.pop(_OPTICS, None)
        name = row.pop(_NAME, "opticsGroup1")

        def where(_) -> str:
            return f"optics group {name}"

        def number(label: str) -> Optional[float]:
            text = row.pop(label, None)
            return None if text is None else float(_to_floats([text], label, self.path, where)[0])

        def whole(label: str) -> Optional[int]:
            text = row.pop(label, None)
            return None if text is None else int(_to_integers([text], label, self.path, where)[0])

        dimension = row.pop(_DIMENSION, _DIMENSION_2D)
        if _to_integers([dimension], _DIMENSION, self.path, where)[0] != 2:
            raise InputError(
                f"{self.path}: _{_DIMENSION} of optics group {name} is {dimension}, so these are subtomograms; give "
                "images of single particles, which have 2."
            )
        pixel = number(_PIXEL)
        if pixel is None and _OLD_PIXEL in row and self._has_old_pixel_only(row):
            pixel = number(_OLD_PIXEL)
            logger.warning(
                f"{self.path}: the pixel size is that of _{_OLD_PIXEL}, as there is no _{_PIXEL}."
            )
        if pixel is None:
            related = sorted(
                {label for label in (*row, *self.columns) if label in _OTHER_PIXEL_SIZES}
            )
            instead = f" (there is _{related[0]}, which may be of other images)" if related else ""
            raise InputError(
                f"{self.path}: optics group {name} has no pixel size{instead}; add _{_PIXEL}."
            )
        if pixel <= 0:
            raise InputError(
                f"{self.path}: optics group {name} has pixel size {pixel}; give a positive _{_PIXEL}."
            )
        box = self._box(name, whole(_BOX), stack_paths, stack_index)
        states = [whole(label) for label in (_PREMULTIPLIED, _FLIPPED)]
        for label, value in zip((_PREMULTIPLIED, _FLIPPED), states):
            if value not in (None, 0, 1):
                raise InputError(
                    f"{self.path}: _{label} of optics group {name} is {value}; give 0 or 1."
                )
        state = "ctf-premultiplied" if states[0] else "phase-flipped" if states[1] else "raw"
        return OpticsGroup(
            name, pixel, box, number(_VOLTAGE), number(_CS), number(_AMPLITUDE), state, row
        )

    def _box(self, name: str, said: Optional[int], stack_paths, stack_index) -> int:
        """The box size of a group, compared with that of its first stack, if it is there."""
        if said is None:
            return read_stack_header(stack_paths[stack_index[0]])[1] if len(stack_index) else 0
        first = stack_paths[stack_index[0]] if len(stack_index) else None
        found = None if first is None else _header_of(first)[1]
        if found is not None and found != said:
            raise InputError(
                f"{self.path}: _{_BOX} of optics group {name} is {said} px and the images of {first} have {found} px; "
                "correct it, or give the stack that belongs to the particles."
            )
        if not 0 <= said <= _LARGEST_BOX_PX or (found is None and said == 0 and len(stack_index)):
            raise InputError(
                f"{self.path}: _{_BOX} of optics group {name} is {said} px; give the images' box size."
            )
        return said

    def scores(self) -> Dict[str, np.ndarray]:
        return {c: self.floats(c) for c in self.columns if c.startswith(PREFIX) and c not in TEXTS}

    def remaining(self) -> Dict[str, np.ndarray]:
        return {
            c: np.array(v, dtype=object) for c, v in self.columns.items() if c not in self.taken
        }


def _header_of(stack: Path) -> Tuple[Optional[int], Optional[int]]:
    """(number of images, box size); None of a stack that is missing or damaged: whoever reads its images says so."""
    try:
        return read_stack_header(stack)[:2]
    except InputError:
        return None, None


Namer = Callable[[int], str]


def _particle(row: int) -> str:
    return f"particle {row + 1}"


def _optics_row(row: int) -> str:
    return f"row {row + 1} of the optics table"


def _to_floats(
    values: Sequence[str], label: str, path: Path, name: Namer = _particle
) -> np.ndarray:
    """(N,) float64; `name` says in a sentence what row i is."""
    try:
        numbers = np.array(values, dtype=np.float64)
        plain = _is_plain(values)
    except ValueError:
        plain = False
    if not plain:
        row, text = next((i, v) for i, v in enumerate(values) if not _is_number(v))
        raise InputError(
            f"{path}: _{label} of {name(row)} is {_shown(text)!r}, which is no number; repair the file."
        )
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise InputError(
            f"{path}: _{label} of {name(row)} is {_shown(values[row])}; repair the file or remove the particle."
        )
    return numbers


def _to_integers(
    values: Sequence[str], label: str, path: Path, name: Namer = _particle
) -> np.ndarray:
    """(N,) int64 of whole numbers, which may be written as 1.000; InputError beyond 64 bits."""
    try:
        if _is_plain(values):
            return np.array(list(map(int, values)), dtype=np.int64)
    except (ValueError, OverflowError):
        pass
    numbers = _to_floats(values, label, path, name)
    wrong = np.flatnonzero((numbers != np.round(numbers)) | (np.abs(numbers) >= 2.0**53))
    if len(wrong):
        what = "is no whole number" if numbers[wrong[0]] % 1 else "is too large a number"
        raise InputError(
            f"{path}: _{label} of {name(int(wrong[0]))} is {_shown(values[wrong[0]])}, which {what}; correct it."
        )
    return numbers.astype(np.int64)


def _shown(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _is_plain(values: Sequence[str]) -> bool:
    """Python reads 1_000 and other scripts' digits as numbers; RELION does not."""
    joined = "".join(values)
    return joined.isascii() and "_" not in joined


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return _is_plain([text])


def _image_references(star: Path, names: Sequence[str], images_from: Optional[str]):
    """Stack paths (resolved), the index of each particle's stack, and its slice from 0."""
    found: Dict[str, int] = {}
    stack_index = np.empty(len(names), dtype=np.int64)
    slice_index = np.empty(len(names), dtype=np.int64)
    for i, name in enumerate(names):
        number, at, stack = name.partition("@")
        if not at:
            number, stack = "1", number
        numbered = number.isascii() and number.isdigit() and len(number) < 20
        if not (numbered and stack and 1 <= int(number) < _LARGEST_SLICE):
            raise InputError(
                f"{star}: _{_IMAGE_NAME} of particle {i + 1} is {_shown(name)!r}; write it as 000001@stack.mrcs."
            )
        stack_index[i] = found.setdefault(stack, len(found))
        slice_index[i] = int(number) - 1
    files = resolve_stacks(star, list(found), images_from)
    _check_single(star, names, [files[k] for k in stack_index.tolist()])
    distinct: Dict[str, int] = {}
    merged = np.array([distinct.setdefault(os.path.abspath(f), len(distinct)) for f in files])
    first = dict(zip(merged[::-1].tolist(), files[::-1]))
    return tuple(first[i] for i in range(len(distinct))), merged[stack_index], slice_index


def _check_single(star: Path, names: Sequence[str], files: Sequence[Path]) -> None:
    """InputError where the first name without a slice is a stack of several images: a tilt series, or a volume."""
    row = next((i for i, name in enumerate(names) if "@" not in name), None)
    number = None if row is None else _header_of(files[row])[0]
    if row is not None and number is not None and number > 1:
        raise InputError(
            f"{star}: _{_IMAGE_NAME} of particle {row + 1} is {_shown(names[row])}, which holds {number} images; say "
            "which one is meant (as 000001@stack.mrcs). Tilt series and subtomograms are not worked on."
        )


def columns_not_modelled(table: ParticleTable) -> List[str]:
    """Columns that matter to the images, are not in the forward model, and pass through unchanged.

    Those that say nothing (no beam tilt, a magnification of 1) are not among them.
    """
    values: Dict[str, List[str]] = {}
    for label in NOT_MODELLED:
        ours = [group.extra[label] for group in table.optics if label in group.extra]
        values[label] = [*map(str, ours), *map(str, table.extra.get(label, ()))]
    return [
        label
        for label, neutral in NOT_MODELLED.items()
        if not all(_is_neutral(value, neutral) for value in set(values[label]))
    ]


def _is_neutral(value: str, neutral: Optional[float]) -> bool:
    """Whether the value, or every number of a list such as [0,0,0], is the neutral one; an empty one is."""
    words = value.strip("[]").replace(",", " ").split()
    if not words or words == ["None"]:
        return True
    try:
        return neutral is not None and all(abs(float(word) - neutral) < _NEUTRAL for word in words)
    except ValueError:
        return False


def write_particles(path, table: ParticleTable) -> None:
    """Write RELION 3.1; stacks are named relative to the working directory, as RELION wants them, or absolutely.

    Absolutely where the relative name would not lead to the same file from elsewhere (see `image_paths`).

    Raises
    ------
    InputError : a value that is not finite, or text that a STAR file cannot hold.
    """
    optics, particles = _optics_columns(table), _particle_columns(path, table)
    tables = [Table("optics", optics, len(table.optics)), Table("particles", particles, len(table))]
    write_star(path, tables)


def _optics_columns(table: ParticleTable) -> Dict[str, List[str]]:
    optics = table.optics
    columns = {
        _OPTICS: [str(i + 1) for i in range(len(optics))],
        _NAME: [o.name for o in optics],
        _PIXEL: [_known(o.pixel_size_angstrom, _PIXEL, o.name) for o in optics],
        _BOX: [str(o.box_size_px) for o in optics],
        _DIMENSION: ["2"] * len(optics),
    }
    for label, attribute in (
        (_VOLTAGE, "voltage_kv"),
        (_CS, "spherical_aberration_mm"),
        (_AMPLITUDE, "amplitude_contrast"),
    ):
        values = [getattr(o, attribute) for o in optics]
        if any(v is not None for v in values):
            columns[label] = [_known(v, label, o.name) for v, o in zip(values, optics)]
    if any(o.image_state != "raw" for o in optics):
        columns[_PREMULTIPLIED] = [str(int(o.image_state == "ctf-premultiplied")) for o in optics]
        columns[_FLIPPED] = [str(int(o.image_state == "phase-flipped")) for o in optics]
    for label in dict.fromkeys(k for o in optics for k in o.extra):
        columns[label] = [_known(o.extra.get(label), label, o.name) for o in optics]
    return columns


def _known(value, label: str, group: str) -> str:
    if value is None:
        raise InputError(
            f"Optics group {group} has no _{label} while others have; give it to all groups."
        )
    if isinstance(value, str):
        return value
    if not np.isfinite(value):
        raise InputError(
            f"_{label} of optics group {group} is {value}, which cannot be written; give a finite value."
        )
    text = f"{value:.6f}"
    return text if abs(float(text) - value) <= _RELATIVE_DIGITS * abs(value) else f"{value:.9g}"


def _particle_columns(path, table: ParticleTable) -> Dict[str, List[str]]:
    names = [written_name(p, Path(path)) for p in table.stack_paths]
    columns: Dict[str, List[str]] = {
        _IMAGE_NAME: [
            f"{s + 1:06d}@{names[k]}" for s, k in zip(table.slice_index, table.stack_index)
        ],
        _OPTICS: [str(i + 1) for i in table.optics_index],
    }
    if table.explicit_ids:
        columns[_IMAGE_ID] = [str(i) for i in table.ids]
    if table.rotations is not None:
        angles = conventions.rotations_to_euler_deg(table.rotations)
        columns.update(
            {label: _format(angles[:, i], label, table) for i, label in enumerate(_ANGLES)}
        )
    if table.shifts_px is not None:
        origin = conventions.shifts_px_to_origin_angstrom(
            table.shifts_px, table.pixel_size_angstrom
        )
        columns.update(
            {
                label: _format(origin[:, i], label, table)
                for i, label in enumerate(_ORIGINS_ANGSTROM)
            }
        )
    if table.ctf is not None:
        ctf = table.ctf
        defocus = (ctf.defocus_u_angstrom, ctf.defocus_v_angstrom, ctf.defocus_angle_deg)
        columns.update(
            {label: _format(values, label, table) for label, values in zip(_DEFOCUS, defocus)}
        )
        columns[_PHASE_SHIFT] = _format(ctf.phase_shift_deg, _PHASE_SHIFT, table)
        if ctf.bfactor_angstrom2.any():
            columns[_BFACTOR] = _format(ctf.bfactor_angstrom2, _BFACTOR, table)
    if table.random_subset is not None:
        columns[_SUBSET] = [str(i) for i in table.random_subset]
    # a lone old angle or origin of the input must not overwrite or contradict the poses
    ours = set(columns)
    if table.rotations is not None:
        ours.update(_ANGLES)
    if table.shifts_px is not None:
        ours.update(_ORIGINS_ANGSTROM + _ORIGINS_PX)
    columns.update(
        {
            label: list(map(str, values))
            for label, values in table.extra.items()
            if label not in ours
        }
    )
    if has_scores(table):
        columns[SCORED_POSE] = scored_poses(table)
    columns.update(
        {label: _format(values, label, table, "%.9g") for label, values in table.scores.items()}
    )
    return columns


def _format(values, label: str, table: ParticleTable, pattern: str = "%.6f") -> List[str]:
    numbers = np.asarray(values, dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise InputError(
            f"_{label} of particle {table.ids[wrong[0]]} is {numbers[wrong[0]]}, which cannot be written; remove the "
            "particle or give a finite value."
        )
    return np.char.mod(pattern, numbers).tolist()
