"""From a ParticleTable to Scipion's particle sets, joined by object id.

Angles and shifts are converted by `core.conventions` alone. Result sets are made from the items of
the input, which keep everything else that they have: RELION's attributes, coordinates, classes.
"""

from __future__ import annotations

import logging
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..constants import BFACTOR, DEFAULT_MAGNIFICATION, OPTICS_GROUP, RANDOM_SUBSET
from ..core.errors import InputError
from ..core.scored_pose import has_scores, scored_poses
from ..core.scores import ATTRIBUTE_PREFIX, DEFOCUS_CHANGE, POSE_SOURCE, SCORED_POSE, TRUTH
from ..core.texts import Texts, distinct_rows, formatted
from ..core.types import CtfTable, ParticleTable, TextColumn
from . import optics as optics_text
from .set_rows import ID, Chunk, append_copies_of, append_made

logger = logging.getLogger(__name__)

#: How Scipion stores the matrix of a transform.
_MATRIX_TEXT = f"[{'[%r, %r, %r, %r], ' * 3}[0.0, 0.0, 0.0, 1.0]]"
#: Of Scipion's `CTFModel`: the ratio of two defoci, unless one is no larger than this.
_NO_RATIO, _SMALLEST_DEFOCUS = -1.0, 0.1


def update_particles(
    output,
    particles,
    table: ParticleTable,
    poses: bool = False,
    scores: Sequence[str] = (),
    texts: Sequence[str] = (),
    subset: bool = False,
) -> int:
    """Fill `output` with those of `particles` that are in `table`, joined by id.

    Parameters
    ----------
    output : empty SetOfParticles, which takes acquisition, pixel size and so on from the input.
    particles : SetOfParticles, the input.
    table : the result.
    poses : whether the alignment is set from the table. Scores that the table does not have belong
        to other poses and are then left out.
    scores, texts : columns of `table.scores` and `table.extra` to store as attributes `_<column>`.
    subset : whether the half sets of the table are stored as `_rlnRandomSubset`.

    Returns
    -------
    Number of particles of the input that are not in the table.
    """
    output.copyInfo(particles)
    if poses:
        output.setAlignmentProj()
    return append_particles(output, particles, table, poses, scores, texts, subset)


def append_particles(
    output,
    particles,
    table: ParticleTable,
    poses: bool = False,
    scores: Sequence[str] = (),
    texts: Sequence[str] = (),
    subset: bool = False,
    where: Optional[str] = None,
) -> int:
    """Append to a set that has its properties, and perhaps particles from other tables.

    Parameters
    ----------
    output, particles, table, poses, scores, texts, subset : as in `update_particles`.
    where : SQL condition that all particles of the table fulfil; default: none.
    """
    scores, texts = _columns(output, table, scores, texts)
    update = _Update(table, poses, scores, texts, subset)
    missing, found = append_copies_of(
        output, particles, table.ids, np.arange(len(table)), update, update.values, where
    )
    if not found.all():
        strangers = table.ids[~found]
        raise InputError(
            f"{len(strangers)} particles of the result (id {strangers[0]}, ...) are not in the "
            f"input set {particles.getFileName()}; run the protocol again."
        )

    return missing


def append_copies(
    output,
    sets: Sequence[Any],
    table: ParticleTable,
    rows: Sequence[Mapping[int, Sequence[int]]],
    poses: bool = False,
    scores: Sequence[str] = (),
    texts: Sequence[str] = (),
    optics_groups: bool = False,
) -> None:
    """Append the rows of a table under its ids, each made from an item of one of several sets.

    Of what the table does not hold, the items keep what the items of all sets have.

    Parameters
    ----------
    output : empty SetOfParticles with the properties of the set.
    sets : of SetOfParticles.
    table : the result.
    rows : for each set, id of an item -> the rows that are made from it.
    poses, scores, texts : as in `update_particles`.
    optics_groups : whether the optics groups are those of the table.
    """
    from pwem.objects import Particle
    from pyworkflow.object import Integer

    if poses:
        output.setAlignmentProj()
    scores, texts = _columns(output, table, scores, texts)
    update, blank = _Update(table, poses, scores, texts, subset=False), Particle()
    own = [{name for name, _ in particles.getFirstItem().getAttributes()} for particles in sets]
    shared = set.intersection(*own)

    def make(item, row: int):
        for name in [n for n, _ in item.getAttributes() if n not in shared]:
            if hasattr(blank, name):
                setattr(item, name, getattr(blank, name))
            else:
                delattr(item, name)
        update(item, row)
        if optics_groups:
            setattr(item, OPTICS_GROUP, Integer(int(table.optics_index[row]) + 1))
        return item

    def values(rows: np.ndarray) -> Chunk:
        groups = {OPTICS_GROUP: (table.optics_index[rows] + 1).tolist()} if optics_groups else {}
        return {**update.values(rows), **groups}

    for particles, of_item in zip(sets, rows):
        of = np.repeat(np.array(list(of_item), np.int64), [len(some) for some in of_item.values()])
        chosen = np.array([row for some in of_item.values() for row in some], np.int64)
        append_copies_of(output, particles, of, chosen, make, values)


def _columns(
    output, table: ParticleTable, scores: Sequence[str], texts: Sequence[str]
) -> Tuple[List[str], List[str]]:
    """The scores and texts to store: those of the table, or, in their order, those that the set has.

    Scipion writes attributes by position, so that all particles have those of the first; what a
    later table lacks is empty.

    Parameters
    ----------
    output, table, scores, texts : see `update_particles`.
    """
    from pyworkflow.object import Float

    if not scores or not output.getSize():
        return (
            [name for name in scores if name in table.scores],
            [name for name in texts if name in table.extra],
        )
    first = vars(output.getFirstItem())
    ours = [name[1:] for name in first if name.startswith(ATTRIBUTE_PREFIX)]
    numbers = [name for name in ours if isinstance(first[f"_{name}"], Float)]
    lost = [name for name in (*scores, *texts) if name in {*table.scores, *table.extra} - set(ours)]
    if lost:
        logger.warning(
            "%s has no %s, because its first particles have none: those of %d later ones are left "
            "out.",
            output.getFileName(),
            ", ".join(lost),
            len(table),
        )
    return [name for name in numbers if name not in table.extra], [n for n in texts if n in ours]


class _Update:
    """Writes one row of a table into a Scipion particle."""

    def __init__(
        self,
        table: ParticleTable,
        poses: bool,
        scores: Sequence[str],
        texts: Sequence[str],
        subset: bool,
    ):
        from ..core.conventions import poses_to_transforms
        from ..core.io.star_optics import shifts_as_recorded

        self.ids = table.ids
        self.known = {f"_{name}" for name in (*table.scores, *table.extra, *texts)}
        # Scores of the item belong to a pose that another program has changed (see `scored_pose`).
        self.none_left = POSE_SOURCE not in table.extra and not set(table.scores) - set(scores)
        self.scores = {name: table.scores.get(name) for name in scores}
        self.texts = {name: table.extra.get(name) for name in texts}
        self.subset = table.random_subset if subset else None
        stored = has_scores(table) and bool(self.scores or self.texts)
        self.scored_poses = scored_poses(table) if stored else None
        self.transforms = (
            poses_to_transforms(table.rotations, shifts_as_recorded(table)) if poses else None
        )

        #: The defocus that was refined with the poses.
        self.ctf = table.ctf if poses and DEFOCUS_CHANGE in table.scores else None

    def __call__(self, item, row: int):
        """The item, changed."""
        from pwem.objects import Transform
        from pyworkflow.object import Float, Integer, String

        item.setObjId(int(self.ids[row]))
        if self.transforms is not None:
            item.setTransform(Transform(matrix=self.transforms[row].copy()))
        if self.transforms is not None or (self.none_left and item.hasAttribute(f"_{SCORED_POSE}")):
            ours = [name for name in vars(item) if name.startswith(ATTRIBUTE_PREFIX)]
            for name in set(ours) - self.known:  # scores of the previous pose
                delattr(item, name)
        for name, values in self.scores.items():
            setattr(item, f"_{name}", Float() if values is None else Float(float(values[row])))
        for name, texts in self.texts.items():
            setattr(item, f"_{name}", String() if texts is None else String(str(texts[row])))
        if self.scored_poses is not None:
            setattr(item, f"_{SCORED_POSE}", String(self.scored_poses[row]))
        if self.ctf is not None and item.hasCTF():
            item.getCTF().setDefocusU(float(self.ctf.defocus_u_angstrom[row]))
            item.getCTF().setDefocusV(float(self.ctf.defocus_v_angstrom[row]))
        if self.subset is not None:
            setattr(item, RANDOM_SUBSET, Integer(int(self.subset[row])))
        return item

    def values(self, rows: np.ndarray) -> Chunk:
        """What `__call__` changes in the items of some rows, as Scipion stores it."""
        found: Dict[str, List[Any]] = {ID: self.ids[rows].tolist()}
        if self.transforms is not None:
            numbers = self.transforms[rows, :3].reshape(-1, 12)
            found["_transform._matrix"] = formatted(_MATRIX_TEXT, numbers).tolist()
        for name, scores in self.scores.items():
            found[f"_{name}"] = _listed(scores, rows, np.float64)
        for name, texts in (*self.texts.items(), (SCORED_POSE, self.scored_poses)):
            if name != SCORED_POSE or texts is not None:
                found[f"_{name}"] = _listed(texts, rows, str)
        if self.ctf is not None:
            found["_ctfModel._defocusU"] = self.ctf.defocus_u_angstrom[rows].tolist()
            found["_ctfModel._defocusV"] = self.ctf.defocus_v_angstrom[rows].tolist()
        if self.subset is not None:
            found[RANDOM_SUBSET] = self.subset[rows].tolist()
        return found


def _listed(values: Optional[TextColumn], rows: np.ndarray, kind: type) -> List[Any]:
    """Python's numbers or texts of some rows; None for each if there are none."""
    if values is None:
        return [None] * len(rows)
    if isinstance(values, Texts):
        return values[rows].tolist()
    return [str(v) for v in values[rows]] if kind is str else values[rows].astype(kind).tolist()


def create_particles(output, table: ParticleTable, magnification: Optional[float] = None) -> None:
    """Fill an empty SetOfParticles with simulated images, which have no input set.

    Everything is set that the plugins of RELION and cryoSPARC require: pixel size, acquisition with
    magnification, optics groups, CTF, projection alignment, and coordinates with the name and the
    id of the micrograph.
    """
    optics_text.set_optics(output, table, magnification or DEFAULT_MAGNIFICATION)
    output.setHasCTF(table.ctf is not None)
    if table.rotations is not None:
        output.setAlignmentProj()
    maker = _ParticleMaker(table)
    append_made(output, len(table), maker, maker.values)


class _ParticleMaker:
    def __init__(self, table: ParticleTable):
        from ..core.io import star_labels

        self.table = table
        self.update = _Update(
            table,
            table.rotations is not None,
            tuple(table.scores),
            (POSE_SOURCE, *(label for label in table.extra if label.startswith(TRUTH))),
            table.random_subset is not None,
        )
        extra = table.extra
        self.positions = [
            extra[c].astype(float)
            for c in (star_labels.COORDINATE_X, star_labels.COORDINATE_Y)
            if c in extra
        ]
        self.micrographs = extra.get(star_labels.MICROGRAPH_NAME)
        if self.micrographs is not None:
            self.micrograph_ids = distinct_rows([self.micrographs])[1] + 1
        self.classes = extra.get(star_labels.CLASS_NUMBER)
        bfactors = None if table.ctf is None else table.ctf.bfactor_angstrom2
        self.bfactors = bfactors if bfactors is not None and np.any(bfactors) else None

    def __call__(self, row: int):
        from pwem.objects import Coordinate, CTFModel, Particle
        from pyworkflow.object import Float, Integer

        table, particle = self.table, Particle()
        particle.setLocation(
            int(table.slice_index[row]) + 1, str(table.stack_paths[table.stack_index[row]])
        )
        if table.ctf is not None:
            ctf = CTFModel(phaseShift=float(table.ctf.phase_shift_deg[row]))
            ctf.setStandardDefocus(
                float(table.ctf.defocus_u_angstrom[row]),
                float(table.ctf.defocus_v_angstrom[row]),
                float(table.ctf.defocus_angle_deg[row]),
            )
            particle.setCTF(ctf)
        if self.bfactors is not None:
            setattr(particle, BFACTOR, Float(float(self.bfactors[row])))
        if len(self.positions) == 2 and self.micrographs is not None:
            coordinate, number = Coordinate(), int(self.micrograph_ids[row])
            coordinate.setPosition(round(self.positions[0][row]), round(self.positions[1][row]))
            coordinate.setMicName(str(self.micrographs[row]))
            coordinate.setMicId(number)
            particle.setCoordinate(coordinate)
            particle.setMicId(number)
        if self.classes is not None:
            particle.setClassId(int(self.classes[row]))
        self.update(particle, row)
        setattr(particle, OPTICS_GROUP, Integer(int(table.optics_index[row]) + 1))
        return particle

    def values(self, rows: np.ndarray) -> Chunk:
        """What differs between the particles of some rows, as Scipion stores it."""
        table = self.table
        paths = np.array([str(path) for path in table.stack_paths], dtype=object)
        found = {
            "_index": (table.slice_index[rows] + 1).tolist(),
            "_filename": paths[table.stack_index[rows]].tolist(),
            OPTICS_GROUP: (table.optics_index[rows] + 1).tolist(),
            **self.update.values(rows),
        }
        if table.ctf is not None:
            found.update(_standard_defocus(table.ctf.take(rows)))
        if self.bfactors is not None:
            found[BFACTOR] = self.bfactors[rows].tolist()
        if len(self.positions) == 2 and self.micrographs is not None:
            for name, position in zip(("_x", "_y"), self.positions):
                found[f"_coordinate.{name}"] = [round(value) for value in position[rows].tolist()]
            found["_coordinate._micName"] = _listed(self.micrographs, rows, str)
            number = self.micrograph_ids[rows].tolist()
            found["_coordinate._micId"] = found["_micId"] = number
        if self.classes is not None:
            found["_classId"] = [int(name) for name in _listed(self.classes, rows, str)]
        return found


def _standard_defocus(ctf: CtfTable) -> Chunk:
    """The columns of Scipion's `CTFModel.setStandardDefocus`."""
    u, v, angle = ctf.defocus_u_angstrom, ctf.defocus_v_angstrom, ctf.defocus_angle_deg
    swapped = v > u
    u, v = np.where(swapped, v, u), np.where(swapped, u, v)
    angle = np.where(swapped, angle + 90.0, angle)
    angle = np.where(angle >= 180.0, angle - 180.0, np.where(angle < 0.0, angle + 180.0, angle))
    ratio = np.divide(u, v, out=np.full(len(u), _NO_RATIO), where=v > _SMALLEST_DEFOCUS)
    columns = {
        "_defocusU": u,
        "_defocusV": v,
        "_defocusAngle": angle,
        "_defocusRatio": ratio,
        "_phaseShift": ctf.phase_shift_deg,
    }
    return {f"_ctfModel.{name}": values.tolist() for name, values in columns.items()}
