"""Particle files: RELION's STAR files, of version 3.0 and later, and cryoSPARC's .cs files.

What is read is decided by the file's contents, and what is written by its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Sequence

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
    "stack_paths",
    "write_particles",
    "write_particle_results",
)


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
    if is_dataset(path):
        return read_cs_particles(path, require, images_from, passthrough)
    return read_star_particles(path, require, images_from)


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
