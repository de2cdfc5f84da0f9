"""A folder of results: files in it are whole or absent, and parts of the work have folders of their own."""

from __future__ import annotations

import json
import math
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple

from ..errors import ResourceError
from .atomic import atomic_path, remove


class Folder:
    """An existing folder that results are written into.

    path : where it is. resumed : whether work that was interrupted goes on in it.
    """

    def __init__(self, path: Path, resumed: bool = False):
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
        """The sub-folder of this name, made if need be; a link of this name is replaced, never followed."""
        path = self.file(name)
        if path.is_symlink() or not path.is_dir():
            remove(path)
            path.mkdir()
        return Folder(path, self.resumed)

    @contextmanager
    def atomic(self, name: str) -> Iterator[Path]:
        """A temporary path (file or folder) that takes its name when the block ends without an exception."""
        with atomic_path(self.file(name)) as part:
            yield part

    def write_json(self, name: str, value: Any) -> None:
        with self.atomic(name) as part:
            part.write_text(
                json.dumps(_plain(value), indent=2, sort_keys=True, allow_nan=False) + "\n"
            )


def identity(path: Path) -> Optional[Tuple[int, int]]:
    """Device and inode: which folder it is, whatever its name. None if it does not exist."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _plain(value: Any) -> Any:
    """For JSON: NumPy numbers and arrays, and paths, as what it knows; a number that is not finite as null."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
