"""The folder of a run: what was asked, what came out, and whether it may be resumed.

config.json is written first, which takes the folder in one step, and metrics.json last: a folder with metrics.json is
finished, one without was interrupted.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import platform
import sys
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Iterator, List

from ..config import Config
from ..errors import ConfigError, InputError, ResourceError
from .atomic import TEMPORARY, atomic_path

logger = logging.getLogger(__name__)

CONFIG_NAME, METRICS_NAME, MANIFEST_NAME = "config.json", "metrics.json", "manifest.json"
_DIGEST_WHOLE_BELOW_BYTES = 64 * 2**20


class RunDirectory:
    """Open with `RunDirectory.open`; write through `atomic`, so that every file is whole or absent."""

    def __init__(self, path: Path, config: Config, resumed: bool):
        self.path, self.config, self.resumed = path, config, resumed

    @classmethod
    def open(cls, path, config: Config) -> RunDirectory:
        """Make the folder, or resume a run of the same config in it; ConfigError if it holds anything else."""
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise ConfigError(f"Output {path} is a file; give a folder.")
        existing = path / CONFIG_NAME
        if existing.exists():
            _check_same_run(path, existing, config)
            run = cls(path, config, resumed=True)
            if not run.file(MANIFEST_NAME).exists() and _strangers(path) == [CONFIG_NAME]:
                run.write_json(MANIFEST_NAME, run._manifest())  # it was stopped before anything was done
            _check_same_inputs(path, config)
            return run
        strangers = _strangers(path)
        if strangers:
            raise ConfigError(
                f"Output folder {path} is not empty (it holds {strangers[0]}) and is no run of this "
                "program; give a new folder."
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            run = cls(path, config, resumed=False)
            with run.atomic(CONFIG_NAME) as part:
                part.write_text(config.to_json())
            run.write_json(MANIFEST_NAME, run._manifest())
        except OSError as error:
            raise ResourceError(
                f"Output folder {path} cannot be written ({error.strerror}); give another folder."
            ) from error
        return run

    @property
    def finished(self) -> bool:
        return (self.path / METRICS_NAME).exists()

    def file(self, name: str) -> Path:
        return self.path / name

    @contextmanager
    def atomic(self, name: str) -> Iterator[Path]:
        """A temporary path (file or folder) that takes its name when the block ends without an exception."""
        with atomic_path(self.path / name) as part:
            yield part

    def write_json(self, name: str, value: Any) -> None:
        with self.atomic(name) as part:
            part.write_text(json.dumps(value, indent=2, sort_keys=True, default=_plain) + "\n")

    def finish(self, metrics: Dict[str, Any], device: str = "cpu") -> None:
        """Complete manifest.json and, last of all, write metrics.json."""
        manifest = json.loads(self.file(MANIFEST_NAME).read_text())
        self.write_json(MANIFEST_NAME, {**manifest, "device": device, "versions": package_versions()})
        self.write_json(METRICS_NAME, metrics)

    def _manifest(self) -> Dict[str, Any]:
        return {
            "command": self.config.command,
            "config_digest": self.config.digest(),
            "seed": self.config.seed,
            "versions": package_versions(),
            "inputs": _input_digests(self.config),
            "arguments": sys.argv[1:],
        }

    def metrics(self) -> Dict[str, Any]:
        return json.loads((self.path / METRICS_NAME).read_text())


def _strangers(path: Path) -> List[str]:
    """Names in the folder, sorted, but for what a run leaves that was stopped before it began."""
    names = os.listdir(path) if path.exists() else []
    return sorted(name for name in names if not name.endswith(TEMPORARY) and name != MANIFEST_NAME)


@contextmanager
def alone_in(path) -> Iterator[None]:
    """One process at a time works in a run's folder: a second one waits, and then finds what the first has left."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        folder = os.open(path, os.O_RDONLY)
    except OSError:  # `RunDirectory.open` says what is wrong
        yield
        return
    try:
        _lock(folder, path)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.info("Another process works in %s; waiting for its end.", path)
        fcntl.flock(folder, fcntl.LOCK_EX)
    except OSError:  # a file system without locks
        pass


def _check_same_run(path: Path, existing: Path, config: Config) -> None:
    try:
        other = type(config).from_json(existing.read_text())
    except ConfigError as error:
        raise ConfigError(f"Output folder {path} holds another run ({error}); give a new folder.") from error
    if other.digest() != config.digest():
        ours, theirs = config.to_dict(), other.to_dict()
        name = next(
            k for k in sorted(ours) if k not in config.execution and json.dumps(ours[k]) != json.dumps(theirs.get(k))
        )
        raise ConfigError(
            f"Output folder {path} holds a run with {name} = {theirs.get(name)!r}, not {ours[name]!r}; give a "
            "new folder, or the same parameters to resume."
        )


def _input_digests(config: Config) -> Dict[str, str]:
    return {str(p): digest_path(p) for p in config.input_paths() if p.exists()}


def _check_same_inputs(path: Path, config: Config) -> None:
    """A run that goes on with other contents of its inputs would mix two results."""
    manifest = path / MANIFEST_NAME
    if not manifest.exists():
        raise ConfigError(f"{manifest} is missing: what the run there depends on is not known; give a new folder.")
    before = json.loads(manifest.read_text())["inputs"]
    for name, digest in _input_digests(config).items():
        if before.get(name, digest) != digest:
            raise ConfigError(f"{name} has changed since the run in {path} began; give a new folder.")


def package_versions() -> Dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in (
        "scipion-em-cryoposes",
        "tensorflow",
        "keras",
        "numpy",
        "scipy",
        "mrcfile",
        "astra-toolbox",
        "scipion-em",
    ):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def digest_path(path) -> str:
    """SHA-256 of a file, or of every file of a folder; of files over 64 MiB, of the size and the first and last MiB."""
    path = Path(path)
    if path.is_dir():
        parts = [f"{p.relative_to(path)} {digest_path(p)}" for p in sorted(path.rglob("*")) if p.is_file()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path.")
    size = path.stat().st_size
    with open(path, "rb") as handle:
        if size <= _DIGEST_WHOLE_BELOW_BYTES:
            return hashlib.sha256(handle.read()).hexdigest()
        head = handle.read(2**20)
        handle.seek(size - 2**20)
        return hashlib.sha256(str(size).encode() + head + handle.read()).hexdigest()


def _plain(value):
    """NumPy numbers and arrays, and paths, for JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
