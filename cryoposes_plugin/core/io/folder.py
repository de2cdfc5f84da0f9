"""Files and folders that are whole or absent, and the folder of results that consists of them.

Everything is written in a private folder beside its place and then renamed onto it. Whatever is in
that place before (a link, a pipe, a folder that a killed run left) is never opened.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Iterator, Optional, Tuple

from ..errors import ResourceError
from ..types import AnyPath

TEMPORARY = ".part"


class Folder:
    """An existing folder that results are written into.

    path : where it is. resumed : whether interrupted work continues in it.
    """

    def __init__(self, path: AnyPath, resumed: bool = False):
        self.path, self.resumed = Path(path), resumed
        self._identity = identity(self.path)

    def file(self, name: str) -> Path:
        """Path of this name; ResourceError if the folder was replaced since it was opened."""
        if self._identity != identity(self.path):
            raise ResourceError(
                f"{self.path} was removed or replaced while the run worked in it; run again."
            )
        return self.path / name

    def inside(self, name: str) -> Folder:
        """The sub-folder of this name, made if needed; a link is replaced, never followed."""
        path = self.file(name)
        if path.is_symlink() or not path.is_dir():
            remove(path)
            path.mkdir()
        return Folder(path, self.resumed)

    @contextmanager
    def atomic(self, name: str) -> Iterator[Path]:
        """A temporary path (file or folder) that takes its name if the block does not fail."""
        with atomic_path(self.file(name)) as part:
            yield part

    def write_json(self, name: str, value: Any) -> None:
        with self.atomic(name) as part:
            text = json.dumps(_plain(value), indent=2, sort_keys=True, allow_nan=False)
            part.write_text(text + "\n")


def identity(path: AnyPath) -> Optional[Tuple[int, int]]:
    """Device and inode: which folder it is, whatever its name. None if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _plain(value: Any) -> Any:
    """NumPy values and paths as JSON values; a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


@contextmanager
def atomic_path(target: AnyPath) -> Iterator[Path]:
    """A temporary path with the name of the target, renamed onto it on success, removed on failure.

    It lies in the folder `<target>.part`, which is newly made and which nobody else can write to.
    So no link can be planted in place of the file, or of what a library writes beside it.
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
            f"{target} cannot be written ({error.strerror or error}); free some space or choose "
            "another folder, then run again."
        ) from error
    except BaseException:
        _remove_if_possible(private)
        raise


def move(part: Path, target: Path) -> None:
    """Rename, replacing a folder by a file or anything by a folder, which renaming alone cannot."""
    if part.is_dir() or target.is_dir():
        remove(target)
    os.replace(part, target)


def create(path: Path) -> BinaryIO:
    """Open a new file for reading and writing, in place of whatever has this name.

    The target of a link is not touched.
    """
    remove(path)
    return _open(path, os.O_CREAT | os.O_EXCL)


def reopen(path: Path, size: int) -> BinaryIO:
    """Open a file of this size that `create` made; OSError for a link or anything else."""
    handle = _open(path, 0)
    status = os.fstat(handle.fileno())
    if status.st_nlink != 1 or status.st_size != size:
        handle.close()
        raise OSError(None, "not the file that was begun")
    return handle


def _open(path: Path, flags: int) -> BinaryIO:
    flags |= os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    return os.fdopen(os.open(path, flags, 0o666), "r+b")


def remove(path: Path) -> None:
    """Remove the file, link or folder of this name, if any; the target of a link stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _remove_if_possible(path: Path) -> None:
    try:
        remove(path)
    except OSError:  # the error that came first is the one to report
        pass
