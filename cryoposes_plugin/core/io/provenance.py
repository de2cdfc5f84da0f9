"""What results depend on: versions of packages, and digests of files and folders."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Dict

from ..errors import InputError
from ..types import AnyPath

#: Files up to this size are read whole.
_READ_WHOLE_BYTES = 64 * 2**20
#: Bytes that are read at either end of larger ones.
_END_BYTES = 2**20

_PACKAGES = (
    "scipion-em-cryoposes",
    "tensorflow",
    "keras",
    "numpy",
    "scipy",
    "mrcfile",
    "astra-toolbox",
    "scikit-learn",
    "scipion-em",
)


def package_versions() -> Dict[str, str]:
    """Version by name, of Python and of the installed packages that results depend on."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def digest_path(path: AnyPath) -> str:
    """SHA-256 of a file, or of all files of a folder.

    Of a file over 64 MiB, the size and the first and last MiB are digested.
    """
    path = Path(path)
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        parts = [f"{file.relative_to(path)} {digest_path(file)}" for file in files]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path.")
    size = path.stat().st_size
    with open(path, "rb") as handle:
        if size <= _READ_WHOLE_BYTES:
            return hashlib.sha256(handle.read()).hexdigest()
        head = handle.read(_END_BYTES)
        handle.seek(size - _END_BYTES)
        return hashlib.sha256(str(size).encode() + head + handle.read()).hexdigest()
