"""Runs whose particles are shared out in chunks.

The folder `chunks` of a run says what is being done in how many chunks, and holds a folder for each
chunk. A chunk is done when its manifest is written, and is not done again.
"""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

import numpy as np

from ..core.errors import ConfigError, CryoposesError
from ..core.io.folder import Folder
from ..core.io.names import MANIFEST_NAME
from ..core.io.provenance import package_versions
from ..core.io.state_files import CHUNKS, REDO, read_arrays, read_json, write_arrays
from ..core.particles.chunks import ChunkedWork
from ..core.values import counted, integer
from .chunked_config import ChunkedConfig
from .executors import Share, do_elsewhere
from .run_directory import RunDirectory, alone_in

#: What is being done in chunks; classes of the images of a chunk.
_WORK, _IMAGES = "work.json", "images.npz"
SLURM = "slurm"
_REMEDY = "delete the folder of the run, and run again"


class Chunk(NamedTuple):
    """One of several chunks, counted from 1."""

    number: int
    of: int

    @classmethod
    def of_text(cls, text: str, environment: Mapping[str, str] = os.environ) -> Chunk:
        """`K/N`, or `slurm`: the place of this task in its Slurm array; ConfigError for others."""
        if text == SLURM:
            return cls._of_slurm(environment)
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ConfigError(
                f"--chunk is {text!r}; give the number of the chunk and how many there are, such as "
                f"2/10, or {SLURM!r} in a Slurm array."
            )
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def _of_slurm(cls, environment: Mapping[str, str]) -> Chunk:
        def read(name: str, default: str = "") -> int:
            text = environment.get(f"SLURM_ARRAY_TASK_{name}", default)
            if not text.isdigit():
                raise ConfigError(
                    f"--chunk is {SLURM!r}, but SLURM_ARRAY_TASK_{name} is {text!r}; submit the "
                    "command with sbatch --array=1-10, or give --chunk 2/10."
                )
            return int(text)

        place = (read("ID") - read("MIN")) // max(read("STEP", "1"), 1)
        return cls(place + 1, read("COUNT"))

    def share(self, rows: np.ndarray, step: int = 1) -> np.ndarray:
        """The rows of this chunk: consecutive ones, in whole batches of `step` if there are enough."""
        step = step if len(rows) >= step * self.of else 1
        batches = -(-len(rows) // step)
        first, end = ((k * batches) // self.of * step for k in (self.number - 1, self.number))
        return rows[first:end]

    def __str__(self) -> str:
        return f"{self.number} of {self.of}"


class ChunkDone(Exception):
    """The process has done its chunk; its message says what is next."""


class Chunks:
    """Divides the work of a run.

    Parameters
    ----------
    run : open, of a command with a `ChunkedConfig`.
    chunk : the only one that this process does; None: it puts all of them together.
    release : gives the folder of the run free for others.
    """

    def __init__(self, run: RunDirectory, chunk: Optional[Chunk], release: Callable[[], None]):
        self._run, self._chunk, self._release = run, chunk, release

    def __call__(self, work: ChunkedWork) -> Optional[float]:
        """Do the work in chunks; returns the particles per second, or None if it is not divided.

        Raises ChunkDone in a process that does one chunk.
        """
        number = self._number()
        if number is None:
            return None
        if not len(work.rows):
            if self._chunk is not None and work.last:
                raise ChunkDone(f"There is nothing to do for chunk {self._chunk}.")
            return 0.0

        folder = self._run.inside(CHUNKS)
        if _name_of(folder.path) != work.name:
            work.save()
            folder.write_json(_WORK, {"name": work.name, "chunks": number})

        missing = _missing(folder.path)
        if self._chunk is not None and (missing or work.last):
            if self._chunk.number in missing:
                self._release()
                self._do(folder, work, self._chunk)
            raise ChunkDone(_what_is_next(folder.path, self._chunk))
        if missing:
            self._do_missing(folder, work, missing)
        return self._take(folder, work, number)

    def _number(self) -> Optional[int]:
        """The number of chunks; None for a run that is not divided."""
        begun = _begun(self._run.path)
        if self._chunk is None:
            workers = getattr(self._run.config, "workers", 1)
            return begun or (workers if workers > 1 else None)
        if begun not in (None, self._chunk.of):
            raise ConfigError(
                f"{self._run.path} was begun in {counted(begun or 0, 'chunk')}, not in "
                f"{self._chunk.of}; give --chunk {min(self._chunk.number, begun or 1)}/{begun}, or "
                "a new folder."
            )
        return self._chunk.of

    def _do_missing(self, folder: Folder, work: ChunkedWork, missing: List[int]) -> None:
        config, of = self._run.config, self._number() or 1
        chunks = {k: Chunk(k, of) for k in missing}
        if isinstance(config, ChunkedConfig) and config.workers > 1:
            shares = [
                Share(
                    f"{k}/{of}",
                    _named(work, chunk),
                    _path(folder.path, work.name, k) / MANIFEST_NAME,
                )
                for k, chunk in chunks.items()
            ]
            do_elsewhere(config, self._run.path, shares)
            return
        for chunk in chunks.values():
            self._do(folder, work, chunk)

    def _do(self, folder: Folder, work: ChunkedWork, chunk: Chunk) -> None:
        """Do a chunk, unless it is done; an error names its particles."""
        path = _path(folder.path, work.name, chunk.number)
        with alone_in(path):
            if (path / MANIFEST_NAME).exists():
                return
            own, rows, begun = Folder(path), chunk.share(work.rows, work.step), time.time()
            if len(rows):
                try:
                    work.do(own, rows)
                except CryoposesError as error:
                    raise type(error)(f"{_named(work, chunk)}: {error}") from error
                if work.images is not None:
                    write_arrays(own.file(_IMAGES), {"classes": work.images.grey.classes(rows)})
            own.write_json(MANIFEST_NAME, _manifest(work, chunk, begun))

    def _take(self, folder: Folder, work: ChunkedWork, number: int) -> float:
        """Put all chunks together; returns the particles per second."""
        times = []
        for chunk in (Chunk(k, number) for k in range(1, number + 1)):
            path, rows = (
                _path(folder.path, work.name, chunk.number),
                chunk.share(work.rows, work.step),
            )
            manifest = read_json(path / MANIFEST_NAME, _REMEDY)
            known = integer(manifest.get("particles"), f"{path}: particles", _REMEDY, 0)
            if known != len(rows):
                raise ConfigError(
                    f"{path} holds {counted(known, 'particle')}, and there should be {len(rows)}; "
                    f"{_REMEDY}."
                )
            times += [manifest["begun"], manifest["ended"]]

            if not len(rows):
                continue
            work.take(Folder(path), rows)
            if work.images is not None:
                classes = read_arrays(path / _IMAGES, {"classes": np.zeros(len(rows), np.int8)})
                work.images.grey.found[rows] = classes["classes"]
        return len(work.rows) / max(max(times) - min(times), 1e-9)


def is_prepared(output: Any) -> bool:
    """Whether all that chunks need is in the folder of a run, and some are still to be done."""
    path = Path(output) / CHUNKS
    return _begun(output) is not None and bool(_missing(path))


def _begun(output: Any) -> Optional[int]:
    """In how many chunks a run was begun; None if it is not divided."""
    path = Path(output) / CHUNKS / _WORK
    if not path.exists():
        return None
    return integer(read_json(path, REDO).get("chunks"), f"{path}: chunks", REDO, 1)


def _name_of(path: Path) -> Optional[str]:
    """The work that is done in chunks; None if there is none yet."""
    return read_json(path / _WORK, REDO).get("name") if (path / _WORK).exists() else None


def _missing(path: Path) -> List[int]:
    """The chunks that are not done."""
    name, number = str(_name_of(path)), _begun(path.parent) or 0
    done = [_path(path, name, k + 1) / MANIFEST_NAME for k in range(number)]
    return [k + 1 for k, manifest in enumerate(done) if not manifest.exists()]


def _path(path: Path, name: str, number: int) -> Path:
    return path / f"{name}_{number}"


def _named(work: ChunkedWork, chunk: Chunk) -> str:
    rows = chunk.share(work.rows, work.step)
    if not len(rows):
        return f"Chunk {chunk} (no particles)"
    ids = work.ids[rows]
    return f"Chunk {chunk} ({counted(len(rows), 'particle')}, ids {ids[0]} to {ids[-1]})"


def _manifest(work: ChunkedWork, chunk: Chunk, begun: float) -> Dict[str, Any]:
    rows = chunk.share(work.rows, work.step)
    return {
        "work": work.name,
        "chunk": chunk.number,
        "of": chunk.of,
        "particles": len(rows),
        "ids": [str(i) for i in work.ids[rows[[0, -1]]]] if len(rows) else [],
        "begun": begun,
        "ended": time.time(),
        "host": socket.gethostname(),
        "versions": package_versions(),
    }


def _what_is_next(path: Path, chunk: Chunk) -> str:
    return f"Chunk {chunk} is done; {counted(len(_missing(path)), 'chunk')} left."
