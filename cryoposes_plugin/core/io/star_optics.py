"""The optics groups of a STAR file: a table in RELION 3.1, particle columns in RELION 3.0."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError
from ..fourier.aberrations import (
    Aberrations,
    added,
    beam_tilt_coefficients,
    recorded_shifts,
    true_shifts,
)
from ..quantities import BEAM_TILT as TILT_LIMITS
from ..quantities import MAGNIFICATION as MAGNIFICATION_LIMITS
from ..quantities import ZERNIKE as ZERNIKE_LIMITS
from ..texts import Texts, distinct_rows
from ..types import OpticsGroup, ParticleTable
from .image_paths import ImageReferences
from .mrc import read_stack_header, stack_size
from .star_columns import ParticleColumns, optics_row_name, particle_name, to_floats, to_integers
from .star_grammar import Table
from .star_labels import (
    ACQUISITION,
    AMPLITUDE_CONTRAST,
    BEAM_TILT,
    BOX_SIZE,
    DETECTOR_PIXEL_SIZE,
    DIMENSIONALITY,
    EVEN_ZERNIKE,
    IMAGE_SIGN,
    MAGNIFICATION,
    MAGNIFICATION_MATRIX,
    ODD_ZERNIKE,
    OLD_PIXEL_SIZE,
    OPTICS_GROUP,
    OPTICS_NAME,
    PHASE_FLIPPED,
    PIXEL_SIZE,
    PREMULTIPLIED,
    SAME_PIXEL_SIZE,
    SPHERICAL_ABERRATION,
    VOLTAGE,
)

logger = logging.getLogger(__name__)

_LARGEST_BOX_PX = 2**15
#: Columns that hold a pixel size of something, which a user may have meant.
_OTHER_PIXEL_SIZES = (
    OLD_PIXEL_SIZE,
    "rlnMicrographOriginalPixelSize",
    "rlnMicrographPixelSize",
    DETECTOR_PIXEL_SIZE,
)
#: What the particles of RELION 3.0 say of their acquisition.
_LABELS_30 = (
    VOLTAGE,
    SPHERICAL_ABERRATION,
    AMPLITUDE_CONTRAST,
    PIXEL_SIZE,
    MAGNIFICATION,
    DETECTOR_PIXEL_SIZE,
    PHASE_FLIPPED,
    PREMULTIPLIED,
    *BEAM_TILT,
)
_PIXEL_LABELS_30 = (PIXEL_SIZE, OLD_PIXEL_SIZE, MAGNIFICATION, DETECTOR_PIXEL_SIZE)

#: One row of an optics table, text by label.
Row = Dict[str, str]
#: The values that tell the groups of RELION 3.0 apart, one for each label.
Key = Tuple[str, ...]


class Optics(NamedTuple):
    """The optics groups of a file.

    groups : one a row of the optics table. group_index : (N,) the group of each particle.
    labels : the columns of the particles that the groups were made from.
    """

    groups: Tuple[OpticsGroup, ...]
    group_index: np.ndarray
    labels: Tuple[str, ...]


def read_optics(
    particles: ParticleColumns, table: Optional[Table], images: ImageReferences
) -> Optics:
    """The optics groups and the group of each particle; InputError for what does not fit together.

    Without an optics table the particles are those of RELION 3.0 and hold their acquisition.
    """
    if table is None or not len(table):
        labels = _labels_30(particles)
        rows, index = _rows_30(particles, labels)
    else:
        labels = ()
        rows = [
            {label: values[i] for label, values in table.columns.items()} for i in range(len(table))
        ]
        index = _group_index(particles, table)

    groups = [
        _Row(particles, row, images.stack_paths, images.stack_index[index == i]).group()
        for i, row in enumerate(rows)
    ]
    for group in groups:
        aberration_questions(group, f"{particles.path}")
    return Optics(tuple(groups), index, labels)


def aberrations_of(group: OpticsGroup) -> Aberrations:
    """Beam tilt, aberrations and magnification of a group, from its columns; those that are missing
    are neutral.

    Raises
    ------
    InputError : text that is not numbers; a beam tilt without voltage or spherical aberration.
    """
    tilt = [_numbers(group, label, 1, 0.0)[0] for label in BEAM_TILT]
    odd, even = (tuple(_numbers(group, label)) for label in (ODD_ZERNIKE, EVEN_ZERNIKE))
    if any(tilt):
        voltage, aberration = group.voltage_kv, group.spherical_aberration_mm
        if voltage is None or aberration is None:
            raise InputError(
                f"Optics group {group.name} has a beam tilt (_{BEAM_TILT[0]}) and no voltage or no "
                "spherical aberration; add them, or set the beam tilt to 0."
            )
        odd = added(odd, beam_tilt_coefficients(tilt, voltage, aberration).tolist())
    xx, xy, yx, yy = (
        _numbers(group, label, 1, neutral)[0]
        for label, neutral in zip(MAGNIFICATION_MATRIX, (1.0, 0.0, 0.0, 1.0))
    )
    return Aberrations(odd, even, ((xx, xy), (yx, yy)))


def aberration_questions(group: OpticsGroup, what: str) -> List[str]:
    """Questions about unlikely aberrations of a group; InputError for impossible ones."""
    found = aberrations_of(group)
    of_group = f"of optics group {group.name}"
    asked: List[str] = []
    for label in BEAM_TILT:
        tilt = _numbers(group, label, 1, 0.0)[0]
        asked += TILT_LIMITS.question(tilt, f"{what}: the {TILT_LIMITS.name} {of_group}")
    for value in np.linalg.svd(found.matrix, compute_uv=False):
        subject = f"{what}: the {MAGNIFICATION_LIMITS.name} {of_group}"
        asked += MAGNIFICATION_LIMITS.question(float(value), subject)
    for value in (*found.odd, *found.even):
        asked += ZERNIKE_LIMITS.question(value, f"{what}: an {ZERNIKE_LIMITS.name} {of_group}")
    return asked


def with_true_shifts(table: ParticleTable) -> ParticleTable:
    """A table whose displacements are those in images as recorded -> in corrected images."""
    matrices = _magnifications(table)
    if matrices is None or table.shifts_px is None:
        return table
    return table.replace(shifts_px=true_shifts(table.shifts_px, matrices))


def shifts_as_recorded(table: ParticleTable) -> np.ndarray:
    """(N, 2) displacements in the images as recorded, in pixels."""
    shifts, matrices = np.asarray(table.shifts_px), _magnifications(table)
    return shifts if matrices is None else recorded_shifts(shifts, matrices)


def _magnifications(table: ParticleTable) -> Optional[np.ndarray]:
    """(N, 2, 2) magnification matrix of each particle; None if no group stretches its images."""
    groups = [aberrations_of(group) for group in table.optics]
    if not any(group.stretches for group in groups):
        return None
    return np.stack([group.matrix for group in groups])[table.optics_index]


def _numbers(
    group: OpticsGroup, label: str, number: Optional[int] = None, missing: float = 0.0
) -> List[float]:
    """The numbers of a column such as [0.1,0.2]; `number` of them, or any number for None."""
    text = group.extra.get(label, "")
    words = text.strip("[]").replace(",", " ").split()
    if not words or words == ["None"]:
        return [missing] * (number or 0)
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError:
        values = np.array([np.nan])
    if not np.isfinite(values).all() or number not in (None, len(values)):
        raise InputError(
            f"_{label} of optics group {group.name} is {text!r}, which is not "
            f"{'a list of numbers' if number is None else 'a number'}; repair the file."
        )
    return values.tolist()


def _group_index(particles: ParticleColumns, table: Table) -> np.ndarray:
    """(N,) the row of the optics table that each particle belongs to."""
    counted = Texts.of([str(i + 1) for i in range(len(table))])
    texts = table.columns.get(OPTICS_GROUP, counted)
    numbers = to_integers(texts, OPTICS_GROUP, particles.path, optics_row_name)
    wanted = _group_numbers(particles, numbers)
    order = np.argsort(numbers)
    return order[np.searchsorted(numbers[order], wanted)]


def _group_numbers(particles: ParticleColumns, numbers: np.ndarray) -> np.ndarray:
    """(N,) the number of each particle's group, which is one of `numbers`."""
    path = particles.path
    values, counts = np.unique(numbers, return_counts=True)
    if (counts > 1).any():
        raise InputError(
            f"{path}: the optics table has group {values[counts > 1][0]} (_{OPTICS_GROUP}) "
            f"{counts.max()} times; give each group its own number."
        )
    if OPTICS_GROUP not in particles.columns:
        if len(numbers) > 1:
            raise InputError(
                f"{path} has {len(numbers)} optics groups, but the particles have no column "
                f"_{OPTICS_GROUP} that says which group they belong to; add the column."
            )
        return np.full(particles.number, numbers[0])

    wanted = particles.integers(OPTICS_GROUP)
    unknown = np.setdiff1d(wanted, numbers)
    if len(unknown):
        row = int(np.flatnonzero(wanted == unknown[0])[0])
        raise InputError(
            f"{path}: {particle_name(row)} belongs to optics group {unknown[0]}, but the optics "
            "table has no such group; add it."
        )
    return wanted


def _labels_30(particles: ParticleColumns) -> Tuple[str, ...]:
    """The columns of RELION 3.0 that hold the acquisition and the pixel size."""
    labels = [label for label in _LABELS_30 if label in particles.columns]
    if PIXEL_SIZE in labels or (MAGNIFICATION in labels and DETECTOR_PIXEL_SIZE in labels):
        return tuple(labels)
    if _only_old_pixel_size(particles.columns):
        return (*labels, OLD_PIXEL_SIZE)
    raise InputError(
        f"{particles.path} has no optics table (data_optics) and its particles have no pixel size; "
        f"add the table, or a column _{PIXEL_SIZE}, or _{MAGNIFICATION} and _{DETECTOR_PIXEL_SIZE}."
    )


def _rows_30(particles: ParticleColumns, labels: Sequence[str]) -> Tuple[List[Row], np.ndarray]:
    """Rows as of an optics table, and (N,) the row of each particle.

    Particles that differ only in the pixel size, and in it by a negligible amount, share a row.
    """
    columns = [particles.columns[label] for label in labels]
    firsts, key_index = distinct_rows(columns)
    rows: List[Row] = []
    row_of: List[int] = []
    known: Dict[Key, List[Tuple[float, int]]] = {}

    for first in firsts.tolist():
        row = {label: column[first] for label, column in zip(labels, columns)}
        if PIXEL_SIZE not in row and OLD_PIXEL_SIZE not in row:
            row[PIXEL_SIZE] = _pixel_size_30(particles, row, first)
        label = PIXEL_SIZE if PIXEL_SIZE in row else OLD_PIXEL_SIZE
        pixel = _number_30(particles, row, label, first)
        others = tuple(v for name, v in row.items() if name not in _PIXEL_LABELS_30)
        alike = known.setdefault(others, [])
        number = next(
            (i for size, i in alike if abs(pixel - size) <= SAME_PIXEL_SIZE * abs(size)), len(rows)
        )
        if number == len(rows):
            alike.append((pixel, number))
            rows.append({**row, OPTICS_NAME: f"opticsGroup{number + 1}"})
        row_of.append(number)
    return rows, np.array(row_of)[key_index]


def _number_30(particles: ParticleColumns, row: Row, label: str, first: int) -> float:
    """A number of the particle `first`, from which the row was made."""
    return float(to_floats([row[label]], label, particles.path, lambda _: particle_name(first))[0])


def _pixel_size_30(particles: ParticleColumns, row: Row, first: int) -> str:
    """The pixel size in Å, from the detector's pixel size in µm and the magnification."""

    def positive(label: str) -> float:
        value = _number_30(particles, row, label, first)
        if value <= 0:
            raise InputError(
                f"{particles.path}: _{label} of {particle_name(first)} is {row[label]}, which "
                f"gives no pixel size; correct it, or add a column _{PIXEL_SIZE}."
            )
        return value

    return repr(1e4 * positive(DETECTOR_PIXEL_SIZE) / positive(MAGNIFICATION))


def _only_old_pixel_size(*labels: Iterable[str]) -> bool:
    """Whether RELION 3.0's pixel size is the only column of a pixel size."""
    present = {label for some in labels for label in some}
    return [label for label in _OTHER_PIXEL_SIZES if label in present] == [OLD_PIXEL_SIZE]


class _Row:
    """One row of the optics table; what is taken out becomes the group, the rest passes through.

    stack_index : of the particles of this group, into the stack paths.
    """

    def __init__(
        self,
        particles: ParticleColumns,
        row: Row,
        stack_paths: Sequence[Path],
        stack_index: np.ndarray,
    ):
        self.particles, self.path, self.row = particles, particles.path, dict(row)
        self.stack = stack_paths[stack_index[0]] if len(stack_index) else None
        self.row.pop(OPTICS_GROUP, None)
        self.name = self.row.pop(OPTICS_NAME, "opticsGroup1")

    def group(self) -> OpticsGroup:
        self._check_dimensionality()
        pixel = self._pixel_size()
        box = self._box_size()
        state, sign = self._image_state(), self._sign()
        acquisition = {name: self._take(label, to_floats) for name, label in ACQUISITION}

        return OpticsGroup(
            self.name, pixel, box, image_state=state, extra=self.row, sign=sign, **acquisition
        )

    def _take(self, label: str, parse: Callable[..., np.ndarray]) -> Optional[Any]:
        text = self.row.pop(label, None)
        if text is None:
            return None
        return parse([text], label, self.path, lambda _: f"optics group {self.name}")[0].item()

    def _check_dimensionality(self) -> None:
        text = self.row.get(DIMENSIONALITY)
        if self._take(DIMENSIONALITY, to_integers) not in (None, 2):
            raise InputError(
                f"{self.path}: _{DIMENSIONALITY} of optics group {self.name} is {text}, so these "
                "are subtomograms; give images of single particles, which have 2."
            )

    def _pixel_size(self) -> float:
        pixel = self._take(PIXEL_SIZE, to_floats)
        if (
            pixel is None
            and OLD_PIXEL_SIZE in self.row
            and _only_old_pixel_size(self.row, self.particles.columns)
        ):
            pixel = self._take(OLD_PIXEL_SIZE, to_floats)
            logger.warning(
                "%s: the pixel size is that of _%s, as there is no _%s.",
                self.path,
                OLD_PIXEL_SIZE,
                PIXEL_SIZE,
            )

        if pixel is None:
            present = {*self.row, *self.particles.columns}
            related = sorted(present.intersection(_OTHER_PIXEL_SIZES))
            instead = (
                f" (there is _{related[0]}, which may belong to other images)" if related else ""
            )
            raise InputError(
                f"{self.path}: optics group {self.name} has no pixel size{instead}; "
                f"add _{PIXEL_SIZE}."
            )
        if pixel <= 0:
            raise InputError(
                f"{self.path}: optics group {self.name} has pixel size {pixel}; "
                f"give a positive _{PIXEL_SIZE}."
            )

        return pixel

    def _box_size(self) -> int:
        """The box size in the table, compared with that of the first stack if that exists."""
        box = self._take(BOX_SIZE, to_integers)
        if box is None:
            return 0 if self.stack is None else read_stack_header(self.stack)[1]

        of_stack = None if self.stack is None else stack_size(self.stack)[1]
        if of_stack is not None and of_stack != box:
            raise InputError(
                f"{self.path}: _{BOX_SIZE} of optics group {self.name} is {box} px and the images "
                f"of {self.stack} have {of_stack} px; correct it, or give the stack that belongs "
                "to the particles."
            )
        unknown = box == 0 and of_stack is None and self.stack is not None
        if not 0 <= box <= _LARGEST_BOX_PX or unknown:
            raise InputError(
                f"{self.path}: _{BOX_SIZE} of optics group {self.name} is {box} px; give the box "
                "size of the images."
            )
        return box

    def _sign(self) -> int:
        sign = self._take(IMAGE_SIGN, to_integers)
        if sign not in (None, 1, -1):
            raise InputError(
                f"{self.path}: _{IMAGE_SIGN} of optics group {self.name} is {sign}; give 1 or -1."
            )
        return sign or 1

    def _image_state(self) -> str:
        flags = {label: self._take(label, to_integers) for label in (PREMULTIPLIED, PHASE_FLIPPED)}
        for label, value in flags.items():
            if value not in (None, 0, 1):
                raise InputError(
                    f"{self.path}: _{label} of optics group {self.name} is {value}; give 0 or 1."
                )
        if flags[PREMULTIPLIED]:
            return "ctf-premultiplied"
        return "phase-flipped" if flags[PHASE_FLIPPED] else "raw"
