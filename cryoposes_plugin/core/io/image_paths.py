"""Which file a stack name in a STAR file means.

A relative name means: from the STAR's own folder, else from the working directory (RELION's project), else, if it names
folders, from one of the folders above the STAR: RELION's names begin at the project, which is above its STAR files.
Where different files would fit, nothing is guessed: the error lists them, and `images_from` decides.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError

_REMEDY = "say with --images-from DIR which folder the names are taken from"

#: What tells files apart: device and inode.
Identity = Tuple[int, int]


class ImageReferences(NamedTuple):
    """Where N images are: image i is slice `slice_index[i]` (from 0) of `stack_paths[stack_index[i]]`."""

    stack_paths: Tuple[Path, ...]
    stack_index: np.ndarray
    slice_index: np.ndarray


def resolve_stacks(
    star: Path, names: Sequence[str], images_from: Optional[str] = None
) -> List[Path]:
    """The file of each stack name; a name that fits no file at all stays as it is (not every command needs images).

    Raises
    ------
    InputError : more than one file fits, only the bare file name does, or two names are one file.
    """
    if images_from and not os.path.isdir(images_from):
        raise InputError(f"--images-from {images_from} is no folder; check the path.")
    folders = _Folders(star)
    found = [
        _given(star, name, names, images_from) if images_from else folders.resolve(name)
        for name in names
    ]
    _check_distinct(star, names, found)
    return found


def written_name(path: Path, star: Path) -> str:
    """How a STAR file at `star` names this stack, so that it is found again from this working directory and others.

    Relative to the working directory, as RELION wants it, where that leads there, else absolute.
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
    """Where the names in one STAR file may begin, in the order of their meaning."""

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
                f"{self.star}: {name} may be {_listed(fitting.values())}, which are different files; {_REMEDY}."
            )
        if beside and not first and not others:
            raise InputError(
                f"{self.star}: {name} does not exist, and {_listed(fitting.values())} has the same file name only; "
                f"if that is the stack, {_REMEDY}."
            )
        return next(iter(fitting.values()), Path(name))

    def _existing(self, name: str, folders: Sequence[Path]) -> Dict[Identity, Path]:
        """Different files of that name; a folder that is not there is asked for once, however many names begin so."""
        found: Dict[Identity, Path] = {}
        for folder in folders:
            path = folder / name
            identity = _identity(path) if self._is_folder(str(path.parent)) else None
            if identity is not None:
                found.setdefault(identity, path)
        return found


def _folders_above(star: Path) -> List[Path]:
    """The folders above the STAR, and above what it is a link to."""
    real = Path(os.path.realpath(star))
    return list(
        dict.fromkeys(
            [*Path(os.path.abspath(star.parent)).parents, real.parent, *real.parent.parents]
        )
    )


def _nearer(folders: Sequence[Path]) -> List[Path]:
    """Those below the working directory if that is above the STAR, else all: what may be meant instead of it."""
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
    """Below the folder that the user gave, by the whole name, or by the bare file name if only one stack has it."""
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
            f"{star}: {bare} may be any of {_listed(sorted(alike))}; give with --images-from the folder in which "
            "these begin."
        )
    raise InputError(
        f"{star}: {name} is not in {images_from}; give with --images-from the folder in which it begins."
    )


def _check_distinct(star: Path, names: Sequence[str], found: Sequence[Path]) -> None:
    """Two ways to write one path are one stack; two paths to one file would make every particle of it two."""
    owners: Dict[Identity, int] = {}
    for i, path in enumerate(found):
        identity = _identity(path)
        first = i if identity is None else owners.setdefault(identity, i)
        if os.path.abspath(found[first]) != os.path.abspath(path):
            raise InputError(
                f"{star}: the stacks {names[first]} and {names[i]} are one file ({os.path.realpath(path)}); "
                "give the stack one name, or its images may count twice."
            )


def _identity(path: Path) -> Optional[Identity]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _listed(paths) -> str:
    return " or ".join(str(path) for path in paths)
