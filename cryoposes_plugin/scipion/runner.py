"""Runs the program for a protocol: writes the config, then runs or resumes `cryoposes COMMAND`.

The protocol itself keeps nothing: everything that a resumed run needs is in its `extra` folder, or
in a `subfolder` of it if a protocol runs the program several times.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from pyworkflow.exceptions import PyworkflowException

from ..commands.config import THREAD_VARIABLES, Config
from ..core.io.names import CONFIG_NAME, MANIFEST_NAME, METRICS_NAME
from ..core.io.provenance import digest_path
from ..core.io.state_files import CHUNKS, read_json

RUN_NAME, KEY_NAME = "run", "run_key.txt"
_MENDABLE = 2
#: Activation commands ("source", "conda activate") need it; the default shell may lack them.
_BASH = "/bin/bash"
_ERROR_LINE = re.compile(r"Error: (.+)")


class ProgramFailed(PyworkflowException):
    """The program ended with an error, whose sentence becomes the error message of the protocol."""


def write_config(protocol, config: Config, subfolder: str = "") -> None:
    with open(config_path(protocol, subfolder), "w", encoding="utf-8") as handle:
        handle.write(config.to_json())


def read_config(protocol, config_class) -> Config:
    with open(config_path(protocol), encoding="utf-8") as handle:
        return config_class.from_json(handle.read())


def config_path(protocol, subfolder: str = "") -> str:
    return protocol._getExtraPath(subfolder, CONFIG_NAME)


def run_folder(protocol, subfolder: str = "") -> str:
    return protocol._getExtraPath(subfolder, RUN_NAME)


def run_program(
    protocol, config: Config, subfolder: str = "", chunk: Optional[Tuple[int, int]] = None
) -> None:
    """Run the program, or resume it. A run with other parameters or input files is removed first.

    chunk : the number of the only one that is done, in a folder that is prepared, and how many there
        are; default: the whole run, with the chunks that are done.

    Raises ProgramFailed with the sentence of the program, or with the log to look at.
    """
    if chunk is None:
        prepare_run_folder(protocol, config, subfolder)
    plugin = type(protocol.getPlugin())
    link_folder = os.path.abspath(protocol._getExtraPath("pythonpath"))
    arguments = " ".join(
        shlex.quote(word)
        for word in (
            config.command,
            "--config",
            config_path(protocol, subfolder),
            "--output",
            run_folder(protocol, subfolder),
            *([] if chunk is None else _words_of_chunk(protocol, config, *chunk)),
        )
    )

    log = protocol.getStderrLog()
    before = os.path.getsize(log) if os.path.exists(log) else 0
    environment = plugin.getComputeEnviron(link_folder)
    if config.threads:  # BLAS reads these variables when it is loaded
        environment.update({name: str(config.threads) for name in THREAD_VARIABLES})
    try:
        protocol.runJob(
            plugin.getProgram(),
            arguments,
            numberOfMpi=1,
            env=environment,
            executable=_BASH if os.path.exists(_BASH) else None,
        )
    except subprocess.CalledProcessError as error:
        raise ProgramFailed(_failure(log, before, error.returncode)) from error
    done = bool(read_metrics(protocol, subfolder))
    if chunk is not None and not done:
        folder = Path(run_folder(protocol, subfolder), CHUNKS)
        done = any(folder.glob(f"*_{chunk[0]}/{MANIFEST_NAME}"))
    if not done:  # a queue does not say how a job ended
        raise ProgramFailed(
            _last_error(log, before)
            or f"The program did not finish; look at the log {log} of the job, and press Continue "
            "to resume."
        )


def _words_of_chunk(protocol, config: Config, number: int, of: int) -> List[str]:
    """The chunk, and its part of the threads: all of them if it is a job of its own in a queue."""
    threads = config.threads
    if threads and not protocol.useQueueForSteps():
        threads = max(1, threads // of)
    return ["--chunk", f"{number}/{of}", "--threads", str(threads)]


def prepare_run_folder(protocol, config: Config, subfolder: str = "") -> None:
    """Remove a run with other parameters or input files."""
    key = run_key(config)
    path, folder = protocol._getExtraPath(subfolder, KEY_NAME), run_folder(protocol, subfolder)
    known = None
    if os.path.exists(path):
        with open(path, encoding="utf-8") as handle:
            known = handle.read().strip()
    if known != key and os.path.exists(folder):
        shutil.rmtree(folder)
    with open(path, "w", encoding="utf-8") as handle:
        handle.write(key)


def run_key(config: Config) -> str:
    """Digest of the parameters and the contents of the input files."""
    parts = [config.digest()] + [digest_path(p) for p in config.input_paths()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _failure(log: str, start: int, status: int) -> str:
    sentence = _last_error(log, start)
    if status == _MENDABLE and sentence:
        return sentence
    if status < 0 or status in (129, 137, 143):
        return (
            "The program was killed (out of memory, or by hand); free memory if necessary, and "
            "press Continue to resume."
        )
    return f"The program ended with status {status}; look at the log {log} of the run" + (
        f" ({sentence})." if sentence else "."
    )


def _last_error(log: str, start: int) -> Optional[str]:
    if not os.path.exists(log):
        return None
    with open(log, encoding="utf-8", errors="replace") as handle:
        handle.seek(start)
        return last_error(handle.read())


def last_error(text: str) -> Optional[str]:
    """The sentence of the program's last error in its output; None if there is none."""
    found = _ERROR_LINE.findall(text)
    return found[-1].strip() if found else None


def read_metrics(protocol, subfolder: str = "") -> Dict[str, Any]:
    """The metrics of the run; empty before it has finished."""
    path = os.path.join(run_folder(protocol, subfolder), METRICS_NAME)
    if not os.path.exists(path):
        return {}
    return read_json(path, "delete this file and press Continue")


def plots(protocol) -> List[str]:
    """The PNG files of the run, sorted."""
    folder = run_folder(protocol)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if name.endswith(".png")]
