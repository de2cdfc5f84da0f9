"""From Scipion's particle sets to a ParticleTable, whose ids are those of the Scipion objects.

Angles and shifts are converted by `core.conventions` alone. For images see `images`, for the
acquisition `optics`, and for the way back `results`.
"""

from __future__ import annotations

import logging
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from ..constants import BFACTOR, OPTICS_GROUP, RANDOM_SUBSET
from ..core.errors import InputError
from ..core.scored_pose import same_poses, without_scores_of_other_poses
from ..core.scores import ATTRIBUTE_PREFIX, SCORED_POSE
from ..core.texts import Texts, distinct_rows, formatted
from ..core.types import (
    CtfTable,
    OpticsGroup,
    ParticleTable,
    TextColumn,
    acquisition_of_particles,
)
from . import optics as optics_text
from .images import image_references
from .set_rows import ENABLED, ID, Column, read_columns

logger = logging.getLogger(__name__)

#: Attributes of a particle from RELION that the table models.
_MODELLED = {RANDOM_SUBSET, OPTICS_GROUP, BFACTOR, "_rlnPhaseShift"}

#: Attributes of a particle, by the labels of Scipion's columns.
_MATRIX, _PHASE_SHIFT = "_transform._matrix", "_ctfModel._phaseShift"
_DEFOCUS = "_ctfModel._defocusU", "_ctfModel._defocusV", "_ctfModel._defocusAngle"
_ACQUISITION = tuple(
    f"_acquisition._{name}" for name in ("voltage", "sphericalAberration", "amplitudeContrast")
)
_POSITION, _MICROGRAPH = ("_coordinate._x", "_coordinate._y"), "_coordinate._micName"
_MICROGRAPH_IDS = "_micId", "_coordinate._micId"
_NEEDED = {
    *("_index", "_filename", _MATRIX, _PHASE_SHIFT, _MICROGRAPH, "_acquisition._magnification"),
    *(*_DEFOCUS, *_ACQUISITION, *_POSITION, *_MICROGRAPH_IDS),
}

#: Ids are listed one by one if they are less than this fraction of the range that they span.
_SPARSE = 0.25


def particle_problems(
    particles, what: str, poses: bool = False, ctf: bool = False, images: bool = True
) -> List[str]:
    """Sentences on why a particle set cannot be used; its items are not read.

    Parameters
    ----------
    particles : SetOfParticles, or None for an empty pointer.
    what : name of the set in the sentences.
    poses, ctf, images : whether these are needed.
    """
    if particles is None:
        return []
    if particles.getSize() == 0:
        return [f"{what}: the particle set is empty; give a set with particles."]

    problems = []
    box = particles.getXDim()
    if images and box % 2:
        problems.append(
            f"{what}: the box size of the particles is {box} px; give an even box size "
            "(extract or crop them again)."
        )
    if not particles.getSamplingRate() or particles.getSamplingRate() <= 0:
        problems.append(
            f"{what}: the pixel size of the particles is {particles.getSamplingRate()}; import "
            "them with their pixel size (Å/px)."
        )
    if poses and not particles.hasAlignmentProj():
        problems.append(
            f"{what}: the particles have no orientations (their alignment is "
            f"'{particles.getAlignment()}'); align them first, or give particles with projection "
            "alignment."
        )
    if ctf and not particles.hasCTF():
        problems.append(
            f"{what}: the particles have no CTF; estimate the CTF and extract the particles with "
            "it."
        )
    if images and particles.isAmplitudeCorrected():
        problems.append(
            f"{what}: the amplitudes of the particles have already been CTF-corrected; give the "
            "particles as they were before that correction."
        )
    if particles.hasCTF() and None in optics_text.acquisition_values(particles.getAcquisition()):
        problems.append(
            f"{what}: the particles have a CTF but no acquisition parameters (voltage, spherical "
            "aberration, amplitude contrast); import them with these parameters."
        )

    return problems


def check_particles(
    particles, what: str, poses: bool = False, ctf: bool = False, images: bool = True
) -> None:
    """InputError with the first sentence of `particle_problems`.

    Parameters
    ----------
    particles, what, poses, ctf, images : as in `particle_problems`.
    """
    for problem in particle_problems(particles, what, poses, ctf, images):
        raise InputError(problem)


def check_fits_card(particles, card, what: str) -> None:
    """InputError if a set lacks the resolution, the field of view or the CTF that a model needs."""
    from ..core.particles.checks import check_fits_model

    check_fits_model(header_table(particles), card.pixel_size_angstrom, card.mask_diameter_angstrom)
    if card.ctf_correction != "none" and card.training.get("ctf", True):
        check_particles(particles, what, ctf=True)


def check_gives_poses(folder, particles, what: str) -> None:
    """InputError if a model cannot be read, gives no poses, or does not suit the particles."""
    from ..core.models.model_card import ModelCard

    card = ModelCard.read(folder)
    card.check_gives_poses(folder)
    check_fits_card(particles, card, what)


def particles_to_table(
    particles, converted_stack, ids: Optional[Sequence[int]] = None
) -> ParticleTable:
    """The ParticleTable of a SetOfParticles, or of its particles with some ids.

    Particles that are disabled in Scipion are left out. Scores and pose source are left out if
    another program has changed the poses since (see `scored_pose`).

    Parameters
    ----------
    particles : SetOfParticles.
    converted_stack : MRC stack for images of formats that the program does not read, which are
        copied. None: no image is read or copied.
    ids : of the particles to take; default: all.

    Raises
    ------
    InputError : for a particle without a transform or CTF although its set has them, or for values
        that are not numbers.
    """
    from ..core.io.star_optics import with_true_shifts

    items = _Items(particles, ids)
    if not len(items.ids):
        raise InputError(
            f"The particle set {particles.getFileName()} has no enabled particles; give a set "
            "with particles."
        )

    box, pixel = particles.getXDim(), particles.getSamplingRate()
    stack_paths, stack_index, slice_index = image_references(
        *items.locations(), converted_stack, box, pixel
    )
    keys, of_key = items.optics()
    groups, group_of_key = optics_text.optics_groups(particles, keys)
    group_index = group_of_key[of_key]
    poses = items.poses()
    table = ParticleTable(
        ids=items.ids,
        stack_paths=stack_paths,
        stack_index=stack_index,
        slice_index=slice_index,
        optics=groups,
        optics_index=group_index,
        rotations=poses[0],
        shifts_px=poses[1],
        ctf=items.ctf(groups, group_index),
        random_subset=items.random_subset(),
        scores=items.scores(),
        extra=items.extra(),
        explicit_ids=True,
    )
    return without_scores_of_other_poses(with_true_shifts(table), particles.getFileName())


def header_table(particles) -> ParticleTable:
    """A table with box size and pixel size of a set, and one row without an image, for checks."""
    group = OpticsGroup("of the particles", particles.getSamplingRate(), particles.getXDim())
    one = np.zeros(1, dtype=np.int64)
    return ParticleTable(
        ids=one, stack_paths=(), stack_index=one, slice_index=one, optics=(group,), optics_index=one
    )


def scored_at_another_pose(particles) -> bool:
    """Whether the pose of the first particle has been changed since its scores were computed."""
    from ..core.conventions import transforms_to_poses
    from ..core.io.star_optics import with_true_shifts

    first = particles.getFirstItem()
    text = first.getAttributeValue(f"_{SCORED_POSE}", None)
    if text is None or not first.hasTransform():
        return text is not None
    rotations, shifts_px = transforms_to_poses(
        np.array(first.getTransform().getMatrix(), dtype=np.float64)[None]
    )
    key = (
        first.getAttributeValue(OPTICS_GROUP, None),
        *optics_text.acquisition_values(particles.getAcquisition()),
    )
    groups, _ = optics_text.optics_groups(particles, [key])
    table = header_table(particles).replace(optics=groups, rotations=rotations, shifts_px=shifts_px)
    table = with_true_shifts(table)
    return not same_poses(table, [text]).all()


def id_range(ids: Optional[Sequence[int]]) -> Optional[str]:
    """An SQL condition on the items of a set with these ids, to find a part of a large set fast."""
    if ids is None:
        return None
    if len(ids) < _SPARSE * (max(ids) - min(ids)):
        return f"id IN ({', '.join(map(str, sorted(ids)))})"
    return f"id>={min(ids)} AND id<={max(ids)}"


def sample_table(particles, number: int, among: Optional[Collection[int]] = None) -> ParticleTable:
    """At most `number` particles spread over a set, without images, for the checks of a form.

    among : ids of the particles to choose from; default: all.
    """
    if among is None and particles.getSize() <= number:
        return particles_to_table(particles, None)
    ids = sorted(particles.getIdSet() if among is None else among)
    return particles_to_table(particles, None, ids[:: max(1, -(-len(ids) // number))])


def scores_of(particles, name: str) -> np.ndarray:
    """(N,) scores of all particles of a set that has them."""
    column = read_columns(particles, f"_{name}".__eq__)[f"_{name}"]
    return np.where(column.known, np.asarray(column.values, dtype=np.float64), np.nan)


class _Items:
    """The values of the items of a set, (N,) each."""

    def __init__(self, particles, wanted: Optional[Sequence[int]] = None):
        self.name = particles.getFileName()
        self._acquisition = optics_text.acquisition_values(particles.getAcquisition())
        columns = read_columns(particles, _is_wanted, id_range(wanted))
        if columns and wanted is not None:
            chosen = np.isin(columns[ID].values, np.asarray(wanted))
            columns = {label: column.take(chosen) for label, column in columns.items()}
        enabled = columns[ENABLED].values if columns else np.zeros(0, dtype=bool)
        if not enabled.all():
            columns = {label: column.take(enabled) for label, column in columns.items()}
            disabled = int((~enabled).sum())
            logger.info("Left out: %d disabled particles of %s.", disabled, self.name)
        self._columns, self._number = columns, int(enabled.sum())
        self.ids = columns[ID].values if columns else np.zeros(0, dtype=np.int64)
        self._aligned, self._with_ctf = particles.hasAlignmentProj(), particles.hasCTF()

    def locations(self) -> Tuple[np.ndarray, Texts]:
        """Index from 1 and file name of each image."""
        return self._columns["_index"].values, self._columns["_filename"].values

    def optics(self) -> Tuple[List[Tuple[Any, ...]], np.ndarray]:
        """The different acquisitions (see `optics.optics_groups`), and (N,) that of each particle."""
        columns = [self._column(OPTICS_GROUP)]
        for label, of_set in zip(_ACQUISITION, self._acquisition):
            columns.append(self._column(label, of_set))
        numbers = [np.where(c.known, np.asarray(c.values, np.float64), np.nan) for c in columns]
        first, index = distinct_rows(numbers)
        keys = [
            tuple(c.values[row].item() if c.known[row] else None for c in columns) for row in first
        ]
        return keys, index

    def _column(self, label: str, otherwise: Optional[float] = None) -> Column:
        if label in self._columns:
            return self._columns[label]
        known = np.full(self._number, otherwise is not None)
        return Column(np.full(self._number, otherwise or 0.0), known)

    def _numbers(self, label: str) -> np.ndarray:
        """(N,) float64, 0 where no value is known."""
        column = self._column(label)
        return np.where(column.known, np.asarray(column.values, dtype=np.float64), 0.0)

    def poses(self) -> Tuple[Optional[np.ndarray], Optional[np.ndarray]]:
        from ..core.conventions import transforms_to_poses

        if not self._aligned:
            return None, None
        transforms = self._column(_MATRIX)
        self._check_known(
            transforms.known,
            "orientation, although its set should have orientations; align the particles again",
        )
        return transforms_to_poses(np.asarray(transforms.values))

    def ctf(self, groups: Sequence[OpticsGroup], index: np.ndarray) -> Optional[CtfTable]:
        if not self._with_ctf:
            return None
        from ..core.fourier.aberrations import even_columns
        from ..core.io.star_optics import aberrations_of

        self._check_known(
            self._column(_DEFOCUS[0]).known & self._column(_DEFOCUS[1]).known,
            "CTF, although its set should have CTFs; estimate the CTF of all micrographs, or remove "
            "the particle",
        )
        acquisition = acquisition_of_particles(
            groups,
            index,
            f"The particles of {self.name} have a CTF but no",
            "import them with their acquisition parameters",
        )
        even = even_columns([aberrations_of(group) for group in groups], index)
        columns = [self._numbers(label) for label in (*_DEFOCUS, _PHASE_SHIFT)]
        return CtfTable(*columns, *acquisition, self._numbers(BFACTOR), even)

    def _check_known(self, known: np.ndarray, what: str) -> None:
        if not known.all():
            row = int(np.flatnonzero(~known)[0])
            raise InputError(f"Particle {self.ids[row]} of {self.name} has no {what}.")

    def random_subset(self) -> Optional[np.ndarray]:
        column = self._column(RANDOM_SUBSET)
        return np.asarray(column.values, dtype=np.int64) if column.known.all() else None

    def scores(self) -> Dict[str, np.ndarray]:
        return {
            label[1:]: np.asarray(column.values, dtype=np.float64)
            for label, column in self._columns.items()
            if label.startswith(ATTRIBUTE_PREFIX) and _is_number(column)
        }

    def extra(self) -> Dict[str, TextColumn]:
        from ..core.io import star_labels

        columns: Dict[str, TextColumn] = {
            label[1:]: _star_texts(column.values)
            for label, column in self._columns.items()
            if _is_ours_or_relions(label) and label not in _MODELLED and column.known.all()
            if not (label.startswith(ATTRIBUTE_PREFIX) and _is_number(column))
        }
        labels = star_labels.COORDINATE_X, star_labels.COORDINATE_Y
        for label, column in zip(labels, map(self._column, _POSITION)):
            if column.known.all():
                columns[label] = _star_texts(column.values)
        names = self._micrograph_names()
        if names is not None:
            columns[star_labels.MICROGRAPH_NAME] = _star_texts(names)
        return columns

    def _micrograph_names(self) -> Optional[Texts]:
        """Names of the micrographs, made of their ids where there are none; None without either."""
        names = self._columns.get(_MICROGRAPH)
        if names is None:
            return None
        unnamed = np.flatnonzero(names.values == "")
        if not len(unnamed):
            return names.values
        number, fallback = (self._column(label) for label in _MICROGRAPH_IDS)
        known = number.known | fallback.known
        if not known[unnamed].all():
            return None
        ids = np.where(number.known, number.values, fallback.values).astype(np.int64)
        texts = np.asarray(names.values)
        texts[unnamed] = np.asarray(formatted("micrograph_%06d.mrc", ids[unnamed]))
        return Texts.of(texts)


def _is_ours_or_relions(name: str) -> bool:
    return name.startswith(("_rln", ATTRIBUTE_PREFIX))


def _is_wanted(label: str) -> bool:
    return label in _NEEDED or ("." not in label and _is_ours_or_relions(label))


def _is_number(column: Column) -> bool:
    return not isinstance(column.values, Texts) and bool(column.known.all())


def _star_texts(values: Union[np.ndarray, Texts]) -> Texts:
    texts = values if isinstance(values, Texts) else formatted("%s", values)
    if not texts.has_byte(b" ") and not (texts == "").any():
        return texts
    return Texts.of([text.replace(" ", "_") or "None" for text in texts])
