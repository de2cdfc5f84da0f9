"""The record of what a run depends on: parameters, versions, contents of the inputs, and images."""

from __future__ import annotations

import hashlib
import math
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

from ..core.errors import ConfigError, InputError
from ..core.io.files import check_regular
from ..core.io.names import MANIFEST_NAME
from ..core.io.particle_files import stack_paths
from ..core.io.provenance import digest_path, package_versions
from ..core.values import shown_error
from .config import Config

_CHUNK_BYTES = 2**20
#: Whole stacks are digested up to this many bytes in total, which takes a second or two.
DIGEST_STACKS_BYTES = 2**30


def make_manifest(config: Config) -> Dict[str, Any]:
    return {
        "command": config.command,
        "config_digest": config.digest(),
        "seed": config.seed,
        "versions": package_versions(),
        "inputs": input_digests(config),
        "images": _stamps(
            image_stacks(config), math.inf if config.digest_images else DIGEST_STACKS_BYTES
        ),
        "arguments": sys.argv[1:],
        "directory": os.getcwd(),
    }


def input_digests(config: Config) -> Dict[str, str]:
    """Digests of all files and folders that the config names."""
    return {str(p): digest_path(p) for p in config.input_paths() if p.exists()}


def image_stacks(config: Config) -> List[str]:
    """Absolute paths of the image stacks that the command reads, sorted."""
    stars = [getattr(config, name) for name in config.image_fields if getattr(config, name)]
    where = getattr(config, "images_from", None), getattr(config, "passthrough", None)
    return sorted({os.path.abspath(stack) for star in stars for stack in stack_paths(star, *where)})


def _stamps(paths: List[str], budget_bytes: float) -> Dict[str, Dict[str, Any]]:
    """Size and time of each stack and, within the budget, a digest of its contents; empty for a
    stack that does not exist.
    """
    stamps: Dict[str, Dict[str, Any]] = {}
    for path in paths:
        stamp = _size_and_time(path)
        budget_bytes -= stamp.get("bytes", 0)
        stamps[path] = (
            {**stamp, "sha256": _whole_digest(path)} if stamp and budget_bytes >= 0 else stamp
        )
    return stamps


def _size_and_time(path: str) -> Dict[str, Any]:
    with _readable(path):
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return {}
    return {"bytes": found.st_size, "modified_ns": found.st_mtime_ns}


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"Image stack {path} cannot be read ({shown_error(error)}); check its permissions."
        ) from error


def check_unchanged(manifest: Mapping[str, Any], config: Config, folder: Path, remedy: str) -> None:
    """Raise ConfigError if inputs or images differ from those of the manifest: a resumed run would
    mix two results.

    Parameters
    ----------
    manifest : of the run.
    config : whose inputs are compared.
    folder : of the run.
    remedy : ends the sentence.
    """
    since = f"since the run in {folder} began"
    before = {**_part(manifest, "inputs", folder)}
    for name, digest in list(before.items()):  # the same file may be given under another name
        before.setdefault(real_path(name, manifest.get("directory")), digest)
    for name, digest in input_digests(config).items():
        if before.get(name, before.get(real_path(name), digest)) != digest:
            raise ConfigError(f"{name} has changed {since}; {remedy}.")
    images = _part(manifest, "images", folder)
    for path in image_stacks(config):
        why = _change(images.get(path), path)
        if why:
            raise ConfigError(f"Image stack {path} {why} {since}; {remedy}.")


def real_path(name: str, directory: Any = None) -> str:
    """The real path of a file that is given relative to a directory (the working directory by
    default).
    """
    return os.path.realpath(
        os.path.join(directory if isinstance(directory, str) else os.curdir, name)
    )


def _part(manifest: Mapping[str, Any], name: str, folder: Path) -> Dict[str, Any]:
    value = manifest.get(name)
    if not isinstance(value, dict):
        raise ConfigError(
            f"{Path(folder, MANIFEST_NAME)} is damaged (it has no {name}); delete its folder and "
            "run again."
        )
    return value


def _change(before: Any, path: str) -> Optional[str]:
    """What happened to a stack; None if it is unchanged. Its time is ignored if its contents are
    known.
    """
    if not isinstance(before, dict):
        return "replaces another one"
    now = _size_and_time(path)
    if before.get("bytes") != now.get("bytes"):
        return f"has changed (from {before.get('bytes', 'no')} to {now.get('bytes', 'no')} bytes)"
    if before.get("modified_ns") == now.get("modified_ns"):
        return None
    if "sha256" in before:
        return (
            None if before["sha256"] == _whole_digest(path) else "has changed (its contents differ)"
        )
    return "was rewritten or touched (--digest-images distinguishes the two)"


def _whole_digest(path: str) -> str:
    digest = hashlib.sha256()
    check_regular(path, f"Image stack {path}")
    with _readable(path), open(path, "rb") as handle:
        for chunk in iter(lambda: handle.read(_CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()
