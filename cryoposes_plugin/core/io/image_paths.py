"""Which file a stack name in a particle file means.

A relative name starts from the folder of the particle file (STAR or .cs), or from the working
directory (RELION's project), or, if it contains folders, from one of the folders above that file:
the names of RELION and cryoSPARC start from the project, which is above their files.
If different files fit, the error lists them, and `images_from` decides.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError

_REMEDY = "give with --images-from DIR the folder that the names start from"

#: Device and inode, which identify a file.
Identity = Tuple[int, int]


class ImageReferences(NamedTuple):
    """Where N images are.

    Image i is slice `slice_index[i]`, from 0, of the stack `stack_paths[stack_index[i]]`.
    """

    stack_paths: Tuple[Path, ...]
    stack_index: np.ndarray
    slice_index: np.ndarray


def resolve_stacks(
    star: Path, names: Sequence[str], images_from: Optional[str] = None
) -> List[Path]:
    """The file of each stack name.

    A name that fits no file stays as it is, because not every command needs images.

    Raises
    ------
    InputError : several files fit, only the bare file name fits, or two names mean one file.
    """
    if images_from and not os.path.isdir(images_from):
        raise InputError(f"--images-from {images_from} is not a folder; check the path.")
    folders = _Folders(star)
    found = [
        _given(star, name, names, images_from) if images_from else folders.resolve(name)
        for name in names
    ]
    _check_distinct(star, names, found)
    return found


def merge_names(
    files: Sequence[Path], stack_index: np.ndarray, slice_index: np.ndarray
) -> ImageReferences:
    """References to images whose stacks have several names: two ways to write a path are one stack.

    Parameters
    ----------
    files : the stacks by name, as `resolve_stacks` gives them.
    stack_index, slice_index : (N,) of the images, into `files` and into each stack.
    """
    distinct: Dict[str, int] = {}
    merged = np.array([distinct.setdefault(os.path.abspath(f), len(distinct)) for f in files])
    first = dict(zip(merged[::-1].tolist(), list(files)[::-1]))
    return ImageReferences(
        tuple(first[i] for i in range(len(distinct))), merged[stack_index], slice_index
    )


def written_name(path: Path, star: Path) -> str:
    """The name of a stack in a STAR file at `star`, with which it is found again.

    Relative to the working directory, as RELION expects, if that name leads to the stack; otherwise
    absolute.
    """
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    folder = os.path.realpath(star.parent)
    here = os.path.realpath(os.curdir)
    outside = relative.startswith("..") or os.path.commonpath([here, folder]) != here
    if outside or (os.sep not in relative and folder != here):
        return absolute
    try:
        found = _Folders(star).resolve(relative)
    except InputError:
        return absolute
    return relative if _identity(found) == _identity(path) else absolute


class _Folders:
    """The folders that the names in a STAR file may start from, in order of precedence."""

    def __init__(self, star: Path):
        self.star = star
        self.own, self.here = star.parent, Path(os.curdir)
        self.above = _folders_above(star)
        self.nearer = _nearer(self.above)
        self._is_folder = lru_cache(maxsize=None)(os.path.isdir)

    def resolve(self, name: str) -> Path:
        if os.path.isabs(name):
            return Path(name)
        first = self._existing(name, [self.own, self.here])
        beside = self._existing(os.path.basename(name), [self.own]) if os.path.dirname(name) else {}
        if len(first) == 1 and (self.own / name) == next(iter(first.values())):
            return self.own / name
        others = (
            self._existing(name, self.nearer if first else self.above) if _has_folders(name) else {}
        )
        fitting = {**beside, **others, **first}
        if len(fitting) > 1:
            raise InputError(
                f"{self.star}: {name} may be {_listed(fitting.values())}, which are different "
                f"files; {_REMEDY}."
            )
        if beside and not first and not others:
            raise InputError(
                f"{self.star}: {name} does not exist, and {_listed(fitting.values())} has only the "
                f"same file name; if that is the stack, {_REMEDY}."
            )

        return next(iter(fitting.values()), Path(name))

    def _existing(self, name: str, folders: Sequence[Path]) -> Dict[Identity, Path]:
        """The different files of that name; whether a folder exists is looked up only once."""
        found: Dict[Identity, Path] = {}
        for folder in folders:
            path = folder / name
            identity = _identity(path) if self._is_folder(str(path.parent)) else None
            if identity is not None:
                found.setdefault(identity, path)
        return found


def _folders_above(star: Path) -> List[Path]:
    """The folders above the STAR file, and above the target if it is a link."""
    real = Path(os.path.realpath(star))
    return list(
        dict.fromkeys(
            [*Path(os.path.abspath(star.parent)).parents, real.parent, *real.parent.parents]
        )
    )


def _nearer(folders: Sequence[Path]) -> List[Path]:
    """The folders below the working directory if that is above the STAR file, otherwise all."""
    here = Path(os.path.realpath(os.curdir))
    return (
        [folder for folder in folders if here in folder.parents]
        if here in folders
        else list(folders)
    )


def _has_folders(name: str) -> bool:
    parts = os.path.normpath(name).split(os.sep)
    return len(parts) > 1 and parts[0] != os.pardir


def _given(star: Path, name: str, names: Sequence[str], images_from: str) -> Path:
    """The file below the folder of the user, by its whole name, or by its file name if unique."""
    if os.path.isabs(name) and os.path.exists(name):
        return Path(name)
    whole, bare = Path(images_from, name), Path(images_from, os.path.basename(name))
    if os.path.exists(whole):
        return whole
    alike = {os.path.normpath(other) for other in names if os.path.basename(other) == bare.name}
    if os.path.exists(bare) and len(alike) == 1:
        return bare
    if os.path.exists(bare):
        raise InputError(
            f"{star}: {bare} may be any of {_listed(sorted(alike))}; give with --images-from the "
            "folder that these names start from."
        )

    raise InputError(
        f"{star}: {name} is not in {images_from}; give with --images-from the folder that the name "
        "starts from."
    )


def _check_distinct(star: Path, names: Sequence[str], found: Sequence[Path]) -> None:
    """InputError if two paths lead to one file, whose particles would then count twice."""
    owners: Dict[Identity, int] = {}
    for i, path in enumerate(found):
        identity = _identity(path)
        first = i if identity is None else owners.setdefault(identity, i)
        if os.path.abspath(found[first]) != os.path.abspath(path):
            raise InputError(
                f"{star}: the stacks {names[first]} and {names[i]} are one file "
                f"({os.path.realpath(path)}); give the stack one name, or its images may count "
                "twice."
            )


def _identity(path: Path) -> Optional[Identity]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _listed(paths: Iterable[object]) -> str:
    return " or ".join(str(path) for path in paths)
