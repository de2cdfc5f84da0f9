"""Files and folders that are whole or absent: written in a private folder beside their place, then renamed onto it.

Nothing that lies in the place before is opened, whatever it is: a link, a pipe, a folder that a killed run left.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator

from ..errors import ResourceError

TEMPORARY = ".part"


@contextmanager
def atomic_path(target) -> Iterator[Path]:
    """A temporary path, of the target's own name, renamed onto the target on success and removed on failure.

    It lies in the folder `<target>.part`, which is made anew for it and which nobody else can write to: so no link can
    be planted in the way of the file, or of what a library writes beside it.
    """
    target = Path(target)
    private = target.with_name(target.name + TEMPORARY)
    try:
        remove(private)
        private.mkdir(mode=0o700)
        part = private / target.name
        yield part
        if part.is_file():
            with open(part, "rb") as handle:
                os.fsync(handle.fileno())
        move(part, target)
        private.rmdir()
    except OSError as error:
        _remove_if_possible(private)
        raise ResourceError(
            f"{target} cannot be written ({error.strerror or error}); free some space or choose another "
            "place, then run again."
        ) from error
    except BaseException:
        _remove_if_possible(private)
        raise


def move(part: Path, target: Path) -> None:
    """Rename; a folder gives way to a file and anything to a folder, which a rename alone does not do."""
    if part.is_dir() or target.is_dir():
        remove(target)
    os.replace(part, target)


def create(path: Path) -> BinaryIO:
    """Open a new file for reading and writing in the place of whatever has this name; a link's target is untouched."""
    remove(path)
    return _open(path, os.O_CREAT | os.O_EXCL)


def reopen(path: Path, size: int) -> BinaryIO:
    """Open a file of this many bytes that `create` made; OSError for a link, a second name of a file, anything else."""
    handle = _open(path, 0)
    found = os.fstat(handle.fileno())
    if found.st_nlink != 1 or found.st_size != size:
        handle.close()
        raise OSError(None, "not the file that was begun")
    return handle


def _open(path: Path, how: int) -> BinaryIO:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | how
    return os.fdopen(os.open(path, flags, 0o666), "r+b")


def remove(path: Path) -> None:
    """The file, link or folder of this name, if there is one; what a link points to stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _remove_if_possible(path: Path) -> None:
    try:
        remove(path)
    except OSError:  # what went wrong before is the one to be told
        pass
