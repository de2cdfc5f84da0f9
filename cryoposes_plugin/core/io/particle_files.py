"""Particle files: RELION's STAR files, of version 3.0 and later, and cryoSPARC's .cs files.

What is read is decided by the file's contents, and what is written by its name.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from ..types import AnyPath, ParticleTable
from .cryosparc.dataset import is_dataset
from .cryosparc.reader import cs_stack_paths, read_cs_particles
from .cryosparc.writer import write_cs_particles
from .folder import Folder
from .names import CS_SUFFIX
from .star_labels import columns_not_modelled
from .star_reader import read_star_particles, star_stack_paths
from .star_writer import write_star_particles

__all__ = (
    "columns_not_modelled",
    "read_particles",
    "reads_kept",
    "stack_paths",
    "write_particles",
    "write_particle_results",
)

_MOST_KEPT = 2
_kept: ContextVar[Optional[Dict[Any, ParticleTable]]] = ContextVar("kept", default=None)


def read_particles(
    path: AnyPath,
    require: Sequence[str] = (),
    images_from: Optional[str] = None,
    passthrough: Optional[AnyPath] = None,
) -> ParticleTable:
    """Read the particles of a STAR or .cs file.

    Parameters
    ----------
    path : the file.
    require : what must be there, of "poses", "ctf", "subset".
    images_from : folder that the names of the stacks start from, if the file does not tell (see
        `image_paths`).
    passthrough : .cs file with more fields of the particles of a .cs file, joined by uid; it says
        nothing of the particles of a STAR file.

    Raises
    ------
    InputError : a file that is unreadable, incomplete, or not of single particles.
    """
    key = _key(path, images_from, passthrough)
    kept = _kept.get()
    if kept is not None and key in kept and _has(kept[key], require):
        return kept[key].copy()
    table = (
        read_cs_particles(path, require, images_from, passthrough)
        if is_dataset(path)
        else read_star_particles(path, require, images_from)
    )
    if kept is not None and key is not None:
        kept[key] = table.copy()
        if len(kept) > _MOST_KEPT:
            kept.pop(next(iter(kept)))
    return table


@contextmanager
def reads_kept() -> Iterator[None]:
    """Within this a particle file that has not changed is read once; the last few are kept."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def _has(table: ParticleTable, required: Sequence[str]) -> bool:
    parts = {"poses": table.rotations, "ctf": table.ctf, "subset": table.random_subset}
    return all(parts[name] is not None for name in required)


def _key(
    path: AnyPath, images_from: Optional[str], passthrough: Optional[AnyPath]
) -> Optional[Tuple[Any, ...]]:
    """What a table depends on; None for a file that cannot be read."""
    try:
        states = [os.stat(p) for p in (path, passthrough) if p]
    except (OSError, ValueError):
        return None
    files = tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in states)
    return (str(path), files, images_from, str(passthrough), os.getcwd())


def stack_paths(
    path: AnyPath, images_from: Optional[str] = None, passthrough: Optional[AnyPath] = None
) -> List[Path]:
    """The stacks that a particle file names, as `read_particles` finds them, or missing."""
    if is_dataset(path):
        return cs_stack_paths(path, images_from, passthrough)
    return star_stack_paths(path, images_from)


def write_particles(path: AnyPath, table: ParticleTable) -> None:
    """Write a table as cryoSPARC reads it if the name ends in .cs, else as RELION 3.1 reads it."""
    if Path(path).suffix == CS_SUFFIX:
        write_cs_particles(path, table)
    else:
        write_star_particles(path, table)


def write_particle_results(folder: Folder, name: str, table: ParticleTable) -> None:
    """Write a STAR file of this name, and beside it a .cs file if the particles came from one."""
    write_particles(folder.file(name), table)
    if table.records is not None:
        write_particles(folder.file(str(Path(name).with_suffix(CS_SUFFIX))), table)
