"""Stacks that are copies of one another, recognised by their size and a few samples of bytes."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import IO, Dict, List, Optional, Sequence, Tuple

_SAMPLES, _SAMPLE_BYTES = 4, 2**14


def originals(paths: Sequence[Path]) -> Dict[Path, Path]:
    """Map each stack to the first one with the same contents, or to itself if it cannot be read."""
    alike: Dict[int, List[Path]] = {}
    for path in paths:
        status = _status(path)
        if status is not None:
            alike.setdefault(status[0], []).append(path)
    found = {path: path for path in paths}
    for size, same_size in alike.items():
        first: Dict[bytes, Path] = {}
        for path in same_size if len(same_size) > 1 else ():
            content = _content(str(path), *(_status(path) or (size, 0)))
            if content is not None:
                found[path] = first.setdefault(content, path)
    return found


def _status(path: Path) -> Optional[Tuple[int, int]]:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=None)
def _content(path: str, size: int, modified_ns: int) -> Optional[bytes]:
    """Digest of samples of the file; None if it cannot be read or has the same value throughout."""
    try:
        with open(path, "rb", buffering=0) as handle:
            parts = [_sample(handle, size, i) for i in range(_SAMPLES)]
    except OSError:
        return None
    if all(len(set(part)) < 2 for part in parts[1:]):
        return None
    return hashlib.sha256(b"".join(parts)).digest()


def _sample(handle: IO[bytes], size: int, number: int) -> bytes:
    handle.seek(max(0, size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
    return handle.read(_SAMPLE_BYTES)
