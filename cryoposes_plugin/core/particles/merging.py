"""One set of particles made of several, from RELION, cryoSPARC or both."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError
from ..io.ids import image_groups
from ..scores import MERGED_FROM, POSE_SOURCE
from ..texts import formatted, texts_together
from ..types import CtfTable, OpticsGroup, ParticleTable, TextColumn

logger = logging.getLogger(__name__)


def merged_tables(tables: Sequence[ParticleTable], names: Sequence[str]) -> ParticleTable:
    """The particles of all tables, one after the other; an image that is in several comes from the
    first.

    Ids stay, unless another particle has the same: then the later one gets the next free id. The
    column `MERGED_FROM` has the number of the set, from 1, and the id of each particle in it.
    Optics groups that agree in everything are one. Scores and other columns that not all sets have
    are left out, with a warning; so are half sets, and the records of cryoSPARC unless all sets
    have the same fields.

    Parameters
    ----------
    tables : at least one.
    names : of the sets, for sentences.

    Raises
    ------
    InputError : poses or CTFs that only some sets have.
    """
    _require_alike("orientations", "align them", tables, names, lambda t: t.rotations is not None)
    _require_alike("CTF", "estimate it", tables, names, lambda t: t.ctf is not None)
    paths, stack_index = _stacks(tables)
    optics, optics_index = _optics(tables)
    ids, explicit = _ids(tables)
    origin = [formatted(f"{k}:%d", table.ids) for k, table in enumerate(tables, start=1)]
    extra = _common("columns", [_texts(t) for t in tables], names)
    poses = tables[0].rotations is not None

    together = ParticleTable(
        ids=ids,
        stack_paths=paths,
        stack_index=stack_index,
        slice_index=np.concatenate([t.slice_index for t in tables]),
        optics=optics,
        optics_index=optics_index,
        rotations=np.concatenate([np.asarray(t.rotations) for t in tables]) if poses else None,
        shifts_px=_shifts(tables),
        ctf=None if tables[0].ctf is None else _ctf([t.ctf for t in tables if t.ctf is not None]),
        random_subset=_half_sets(tables, names),
        scores=_common("scores", [t.scores for t in tables], names),
        extra={**extra, MERGED_FROM: texts_together(origin)},
        explicit_ids=explicit,
        records=_records(tables, names),
    )
    return _without_copies(together, np.repeat(np.arange(len(tables)), [len(t) for t in tables]))


def _require_alike(
    what: str,
    remedy: str,
    tables: Sequence[ParticleTable],
    names: Sequence[str],
    has: Callable[[ParticleTable], bool],
) -> None:
    having = [has(table) for table in tables]
    if any(having) and not all(having):
        raise InputError(
            f"The particles of {names[having.index(False)]} have no {what} and those of "
            f"{names[having.index(True)]} have; {remedy} first, or leave that set out."
        )


def _stacks(tables: Sequence[ParticleTable]) -> Tuple[Tuple[Path, ...], np.ndarray]:
    place: Dict[Path, int] = {}
    parts = []
    for table in tables:
        own = [place.setdefault(path, len(place)) for path in table.stack_paths]
        parts.append(np.array(own, dtype=np.int64)[table.stack_index])
    return tuple(place), np.concatenate(parts)


def _optics(tables: Sequence[ParticleTable]) -> Tuple[Tuple[OpticsGroup, ...], np.ndarray]:
    """Groups that differ and have one name get numbers."""
    groups: List[OpticsGroup] = []
    parts = []

    for table in tables:
        own = []
        for group in table.optics:
            alike = [g for g in groups if dataclasses.replace(group, name=g.name) == g]
            if alike:
                own.append(groups.index(alike[0]))
                continue
            taken = {g.name for g in groups}
            free = (f"{group.name}_{k}" for k in range(2, len(groups) + 3))
            name = (
                group.name if group.name not in taken else next(f for f in free if f not in taken)
            )
            own.append(len(groups))
            groups.append(dataclasses.replace(group, name=name))
        parts.append(np.array(own, dtype=np.int64)[table.optics_index])
    return tuple(groups), np.concatenate(parts)


def _ids(tables: Sequence[ParticleTable]) -> Tuple[np.ndarray, bool]:
    """Ids without repetition, and whether they are worth writing."""
    ids = np.concatenate([table.ids for table in tables])
    _, first = np.unique(ids, return_index=True)
    again = np.setdiff1d(np.arange(len(ids)), first)
    if len(again):
        taken = set(ids[first].tolist())
        free = (i for i in range(1, len(ids) + len(taken) + 1) if i not in taken)
        ids = ids.copy()
        ids[again] = [next(free) for _ in again]
    return ids, all(table.explicit_ids for table in tables) or len(again) > 0


def _shifts(tables: Sequence[ParticleTable]) -> Optional[np.ndarray]:
    if all(table.shifts_px is None for table in tables):
        return None
    return np.concatenate([table.known_shifts_px for table in tables])


def _ctf(parts: Sequence[CtfTable]) -> CtfTable:
    most = max(part.even_zernike.shape[1] for part in parts)
    columns = {
        f.name: np.concatenate([getattr(part, f.name) for part in parts])
        for f in dataclasses.fields(CtfTable)
        if f.name != "even_zernike"
    }
    even = [
        np.pad(part.even_zernike, ((0, 0), (0, most - part.even_zernike.shape[1])))
        for part in parts
    ]
    return CtfTable(**columns, even_zernike=np.concatenate(even))


def _half_sets(tables: Sequence[ParticleTable], names: Sequence[str]) -> Optional[np.ndarray]:
    parts = [table.random_subset for table in tables]
    known = [part for part in parts if part is not None]
    if known and len(known) < len(parts):
        without = names[[part is None for part in parts].index(True)]
        logger.warning("Half sets are left out: the particles of %s have none.", without)
    return np.concatenate(known) if known and len(known) == len(parts) else None


def _texts(table: ParticleTable) -> Dict[str, TextColumn]:
    """A set without a record of where its poses come from says so."""
    unknown = np.full(len(table), "given", dtype=object)
    return {POSE_SOURCE: unknown, **table.extra} if table.rotations is not None else table.extra


def _common(
    what: str, columns: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> Dict[str, Any]:
    shared = [name for name in columns[0] if all(name in other for other in columns)]
    lost = sorted({name for own in columns for name in own} - set(shared))
    if lost:
        logger.warning(
            "Not all of %s have these %s, which are left out: %s.",
            ", ".join(names),
            what,
            ", ".join(lost),
        )
    return {name: np.concatenate([own[name] for own in columns]) for name in shared}


def _records(tables: Sequence[ParticleTable], names: Sequence[str]) -> Optional[np.ndarray]:
    parts = [table.records for table in tables if table.records is not None]
    if len(parts) == len(tables) and len({part.dtype for part in parts}) == 1:
        return np.concatenate(parts)
    if parts:
        logger.warning(
            "The fields of cryoSPARC that are not modelled are left out: not all of %s have them.",
            ", ".join(names),
        )
    return None


def _without_copies(table: ParticleTable, of_set: np.ndarray) -> ParticleTable:
    """Without images that an earlier set has; copies within a set stay."""
    image = image_groups(table)
    first = np.full(int(image.max(initial=-1)) + 1, len(table))
    np.minimum.at(first, image, of_set)
    kept = of_set == first[image]
    if not kept.all():
        logger.warning(
            "%d particles have an image that is in an earlier set too; they are left out.",
            int((~kept).sum()),
        )
    return table.take(kept)
