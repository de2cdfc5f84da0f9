"""From Scipion's particle sets to a ParticleTable, whose ids are those of the Scipion objects.

Angles and shifts are converted by `core.conventions` alone. For images see `images`, for the
acquisition `optics`, and for the way back `results`.
"""

from __future__ import annotations

import logging
from typing import Any, Collection, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..constants import BFACTOR, OPTICS_GROUP, RANDOM_SUBSET
from ..core.errors import InputError
from ..core.scored_pose import same_poses, without_scores_of_other_poses
from ..core.scores import ATTRIBUTE_PREFIX, SCORED_POSE
from ..core.types import CtfTable, OpticsGroup, ParticleTable, acquisition_of_particles
from . import optics as optics_text
from .images import image_references

logger = logging.getLogger(__name__)

#: Attributes of a particle from RELION that the table models.
_MODELLED = {RANDOM_SUBSET, OPTICS_GROUP, BFACTOR, "_rlnPhaseShift"}

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
    if not items.ids:
        raise InputError(
            f"The particle set {particles.getFileName()} has no enabled particles; give a set "
            "with particles."
        )

    box, pixel = particles.getXDim(), particles.getSamplingRate()
    stack_paths, stack_index, slice_index = image_references(
        items.locations, converted_stack, box, pixel
    )
    groups, group_index = optics_text.optics_groups(particles, items.optics)
    poses = items.poses()
    table = ParticleTable(
        ids=np.array(items.ids, dtype=np.int64),
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


class _Items:
    """The values of all items of a set. Scipion reuses the item, so values are copied at once."""

    def __init__(self, particles, wanted: Optional[Sequence[int]] = None):
        self.name = particles.getFileName()
        self._acquisition = particles.getAcquisition()
        self.ids: List[int] = []
        self.locations: List[Tuple[int, str]] = []
        self.optics: List[Tuple[Any, ...]] = []
        self._transforms: List[np.ndarray] = []
        self._defoci: List[Tuple[float, ...]] = []
        self._coordinates: List[Optional[Tuple[Any, Any, str]]] = []
        self._attributes: Dict[str, List[Any]] = {}
        aligned, with_ctf, disabled = particles.hasAlignmentProj(), particles.hasCTF(), 0
        chosen = None if wanted is None else set(wanted)
        for particle in particles.iterItems(where=id_range(wanted)):
            if chosen is not None and particle.getObjId() not in chosen:
                continue
            if not particle.isEnabled():
                disabled += 1
                continue
            self._take(particle, aligned, with_ctf)

        if disabled:
            logger.info("Left out: %d disabled particles of %s.", disabled, self.name)

    def _take(self, particle, aligned: bool, with_ctf: bool) -> None:
        if not self.ids:
            self._attributes = {
                name: [] for name, _ in particle.getAttributes() if _is_ours_or_relions(name)
            }

        identity = particle.getObjId()
        self.ids.append(identity)
        self.locations.append(particle.getLocation())
        own = particle.getAcquisition()
        acquisition = self._acquisition if own is None else own
        self.optics.append(
            (
                particle.getAttributeValue(OPTICS_GROUP, None),
                *optics_text.acquisition_values(acquisition),
            )
        )
        if aligned:
            if not particle.hasTransform():
                raise InputError(
                    f"Particle {identity} of {self.name} has no orientation, although its set "
                    "should have orientations; align the particles again."
                )
            self._transforms.append(np.array(particle.getTransform().getMatrix(), dtype=np.float64))
        if with_ctf:
            self._defoci.append(self._defocus(particle, identity))

        coordinate = particle.getCoordinate()
        self._coordinates.append(
            None if coordinate is None else (*coordinate.getPosition(), _micrograph_name(particle))
        )
        for name, values in self._attributes.items():
            values.append(particle.getAttributeValue(name, None))

    def _defocus(self, particle, identity) -> Tuple[float, ...]:
        ctf = particle.getCTF()
        values = (None, None) if ctf is None else ctf.getDefocus()
        if None in values[:2]:
            raise InputError(
                f"Particle {identity} of {self.name} has no CTF, although its set should have "
                "CTFs; estimate the CTF of all micrographs, or remove the particle."
            )
        return (
            values[0],
            values[1],
            values[2] or 0.0,
            ctf.getPhaseShift() or 0.0,
            particle.getAttributeValue(BFACTOR, None) or 0.0,
        )

    def poses(self) -> Tuple[Optional[np.ndarray], Optional[np.ndarray]]:
        from ..core.conventions import transforms_to_poses

        return transforms_to_poses(np.stack(self._transforms)) if self._transforms else (None, None)

    def ctf(self, groups: Sequence[OpticsGroup], index: np.ndarray) -> Optional[CtfTable]:
        if not self._defoci:
            return None
        from ..core.fourier.aberrations import even_columns
        from ..core.io.star_optics import aberrations_of

        columns = np.array(self._defoci, dtype=np.float64).T
        acquisition = acquisition_of_particles(
            groups,
            index,
            f"The particles of {self.name} have a CTF but no",
            "import them with their acquisition parameters",
        )
        even = even_columns([aberrations_of(group) for group in groups], index)
        return CtfTable(*columns[:4], *acquisition, columns[4], even)

    def random_subset(self) -> Optional[np.ndarray]:
        values = self._attributes.get(RANDOM_SUBSET)
        if not values or None in values:
            return None
        return np.array(values, dtype=np.int64)

    def scores(self) -> Dict[str, np.ndarray]:
        return {
            name[1:]: np.array(values, dtype=np.float64)
            for name, values in self._attributes.items()
            if name.startswith(ATTRIBUTE_PREFIX)
            and all(isinstance(v, (int, float)) for v in values)
        }

    def extra(self) -> Dict[str, np.ndarray]:
        from ..core.io import star_labels

        columns = {}
        for name, values in self._attributes.items():
            label = name[1:]
            if name not in _MODELLED and None not in values and label not in self.scores():
                columns[label] = np.array([_star_text(v) for v in values], dtype=object)
        known = [coordinate for coordinate in self._coordinates if coordinate is not None]
        if len(known) == len(self._coordinates):
            labels = star_labels.COORDINATE_X, star_labels.COORDINATE_Y, star_labels.MICROGRAPH_NAME
            for label, values in zip(labels, zip(*known)):
                if None not in values and "" not in values:
                    columns[label] = np.array([_star_text(v) for v in values], dtype=object)
        return columns


def _is_ours_or_relions(name: str) -> bool:
    return name.startswith(("_rln", ATTRIBUTE_PREFIX))


def _micrograph_name(particle) -> str:
    name = particle.getCoordinate().getMicName()
    identity = particle.getMicId()
    return str(name) if name else "" if identity is None else f"micrograph_{identity:06d}.mrc"


def _star_text(value) -> str:
    return str(value).replace(" ", "_") or "None"
