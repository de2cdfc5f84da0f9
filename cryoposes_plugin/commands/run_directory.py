"""The folder of a run: its config, its results, and whether it may be resumed.

config.json is written first and claims the folder in one step. metrics.json is written last: a run
with metrics.json is finished, and a run without it was interrupted.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import logging
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from ..core.errors import ConfigError, CryoposesError, ResourceError
from ..core.io.error_log import ERROR_LOG_NAME
from ..core.io.folder import TEMPORARY, Folder, identity
from ..core.io.names import CONFIG_NAME, MANIFEST_NAME, METRICS_NAME, MODEL_NAME
from ..core.io.provenance import package_versions
from ..core.io.state_files import is_state, read_json, remove_state
from ..core.particles.chunks import Divide, undivided
from ..core.values import shown, shown_error
from .config import Config
from .manifest import check_unchanged, make_manifest, real_path

logger = logging.getLogger(__name__)

#: Suffixes of the results that later steps use; reports and pictures are not among them.
_RESULT_SUFFIXES = (".star", ".cs", ".mrc", ".mrcs", ".npz", ".csv")
#: The remedy if the files that describe a run are damaged.
_NEW_FOLDER = "delete its folder and run again, or give a new one"


class RunDirectory(Folder):
    """The folder of one run. Open it with `RunDirectory.open`; write with `atomic`, so that every
    file is complete or absent.
    """

    def __init__(self, path: Path, config: Config, resumed: bool):
        super().__init__(path, resumed)
        self.config = config
        #: Does work in chunks, see `chunks.Chunks`.
        self.divide: Divide = undivided

    @classmethod
    def open(cls, path, config: Config) -> RunDirectory:
        """Make the folder, or resume a run of the same config in it; ConfigError if it holds
        anything else.
        """
        path = Path(path)
        try:
            _check_links(path)
            if path.exists() and not path.is_dir():
                raise ConfigError(f"Output {path} is a file; give a folder.")
            return (
                cls._resume(path, config)
                if os.path.lexists(path / CONFIG_NAME)
                else cls._claim(path, config)
            )
        except OSError as error:
            raise ResourceError(
                f"Output folder {path} cannot be written ({shown_error(error)}); give another "
                "folder."
            ) from error

    @classmethod
    def _claim(cls, path: Path, config: Config) -> RunDirectory:
        """Claim the folder with config.json. A folder in which a run stopped before that can be
        claimed too.
        """
        strangers = _strangers(path)
        if strangers:
            raise ConfigError(
                f"Output folder {path} is not empty (it holds {strangers[0]}) and is not a run of "
                "this program; give a new folder."
            )
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path, config, resumed=False)
        with run.atomic(CONFIG_NAME) as part:
            part.write_text(config.to_json())
        run.write_json(MANIFEST_NAME, make_manifest(config))
        return run

    @classmethod
    def _resume(cls, path: Path, config: Config) -> RunDirectory:
        run = cls(path, config, resumed=True)
        _check_same_run(path, config)
        if not run.file(MANIFEST_NAME).exists() and _strangers(path) == [CONFIG_NAME]:
            run.write_json(
                MANIFEST_NAME, make_manifest(config)
            )  # the earlier run was stopped before it did anything
        manifest = run._read_manifest()
        check_unchanged(manifest, config, path, "give a new folder")
        if run.finished:
            run.tidy()
            run._check_results(manifest)
        return run

    @property
    def finished(self) -> bool:
        return os.path.lexists(self.file(METRICS_NAME))

    def finish(self, metrics: Dict[str, Any], device: str = "cpu") -> None:
        """Complete manifest.json, write metrics.json, which finishes the run, and remove the saved
        state.
        """
        manifest = self._read_manifest()
        check_unchanged(manifest, self.config, self.path, "delete the folder and run again")
        found = {"device": device, "versions": package_versions(), "results": _results(self.path)}
        self.write_json(MANIFEST_NAME, {**manifest, **found})
        self.write_json(METRICS_NAME, metrics)
        self.tidy()

    def tidy(self) -> None:
        """Remove the state from which an interrupted run would have continued."""
        try:
            remove_state(self.path)
        except OSError as error:
            logger.warning(
                "%s: the saved state of the run cannot be removed (%s).",
                self.path,
                shown_error(error),
            )

    def _check_results(self, manifest: Dict[str, Any]) -> None:
        """Raise ConfigError if a result of the finished run no longer exists."""
        names = manifest.get("results")
        gone = (
            [str(n) for n in names if not self.file(str(n)).exists()]
            if isinstance(names, list)
            else []
        )
        if gone:
            others = f" and {len(gone) - 1} more are" if gone[1:] else " is"
            raise ConfigError(
                f"{self.path} is finished, but its result {gone[0]}{others} missing; put the files "
                f"back, or delete {self.path / METRICS_NAME} and run again."
            )

    def _read_manifest(self) -> Dict[str, Any]:
        path = self.path / MANIFEST_NAME
        if not os.path.lexists(path):
            raise ConfigError(
                f"{path} is missing, so the inputs of the run are not known; {_NEW_FOLDER}."
            )
        return read_json(path, _NEW_FOLDER)

    def metrics(self) -> Dict[str, Any]:
        """The metrics of a finished run; InputError if their file is damaged."""
        return read_json(
            self.file(METRICS_NAME),
            "delete this file and run again to finish the run",
        )


def _check_links(path: Path) -> None:
    """Raise ConfigError if the folder, or one above it, is a link to a folder that does not exist."""
    for folder in (path, *path.parents):
        if folder.is_symlink() and not folder.exists():
            raise ConfigError(
                f"Output folder {path}: {folder} is a link to {os.readlink(folder)}, which does "
                "not exist; make that folder, or give another one."
            )


def _results(path: Path) -> List[str]:
    """Names of the results that later steps use: no reports or pictures, and the only folder is
    that of a network.
    """
    names = [
        place.name
        for place in path.iterdir()
        if place.suffix in _RESULT_SUFFIXES or place.name == MODEL_NAME
    ]
    return sorted(name for name in names if not is_state(name))


def _strangers(path: Path) -> List[str]:
    """Sorted names in the folder, without the files that a run leaves if it is stopped before it
    begins.
    """
    names = os.listdir(path) if path.exists() else []
    return sorted(
        n for n in names if not n.endswith(TEMPORARY) and n not in (MANIFEST_NAME, ERROR_LOG_NAME)
    )


@contextmanager
def alone_in(path) -> Iterator[None]:
    """Lets only one process at a time work in the folder of a run: a second one waits and then
    finds the results of the first.
    """
    folder = _locked(Path(path))
    try:
        yield
    finally:
        if folder is not None:
            os.close(folder)


def _locked(path: Path) -> Optional[int]:
    """A descriptor that holds the lock of the folder that now has this name: the folder may have
    been deleted while the process waited. None if the folder cannot be made; `RunDirectory.open`
    then raises the error.
    """
    while True:
        try:
            path.mkdir(parents=True, exist_ok=True)
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return None
        try:
            _lock(folder, path)
        except BaseException:
            os.close(folder)
            raise
        found = os.fstat(folder)
        if (found.st_dev, found.st_ino) == identity(path):
            return folder
        os.close(folder)


def _lock(folder: int, path) -> None:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.info("Another process is working in %s; waiting for it to finish.", path)
        fcntl.flock(folder, fcntl.LOCK_EX)
    except OSError:  # a file system without locks
        pass


def _check_same_run(path: Path, config: Config) -> None:
    saved = read_json(path / CONFIG_NAME, _NEW_FOLDER)

    try:
        other = type(config).from_dict(saved)
        other.digest()
    except (ConfigError, TypeError, ValueError) as error:
        why = str(error).rsplit("; ", 1)[0].rstrip(".")  # its remedy is for a config
        raise ConfigError(
            f"Output folder {path} holds another run ({why}); give a new folder."
        ) from error

    ours, theirs = config.to_dict(), other.to_dict()
    changed = [
        name for name in sorted(ours) if json.dumps(ours[name]) != json.dumps(theirs.get(name))
    ]
    named = _path_options(config)
    changed = [
        n
        for n in changed
        if n not in named or _files(ours[n]) != _files(theirs[n], _directory(path))
    ]
    decisive = [name for name in changed if name not in (*config.execution, *config.last_bits)]
    if decisive:
        name = decisive[0]
        raise ConfigError(
            f"Output folder {path} holds a run with {name} = {shown(theirs.get(name))}, not "
            f"{shown(ours.get(name))}; give a new folder, or the same parameters to resume."
        )

    for name in changed:
        logger.info(
            "%s is now %s, but it was %s when the run in %s began.",
            name,
            ours[name],
            theirs[name],
            path,
        )


def _path_options(config: Config) -> List[str]:
    return [
        f.name for f in dataclasses.fields(config) if f.metadata["path"] or f.name == "images_from"
    ]


def _files(value: Any, directory: Any = None) -> List[str]:
    """Absolute real paths of files that are given relative to a directory."""
    return [real_path(v, directory) for v in (value if isinstance(value, tuple) else (value,)) if v]


def _directory(path: Path) -> Any:
    """The working directory in which the run began; None if it is not known."""
    try:
        return read_json(path / MANIFEST_NAME, _NEW_FOLDER).get("directory")
    except CryoposesError:  # reported when the manifest is needed
        return None
