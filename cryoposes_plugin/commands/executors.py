"""Chunks of a run in processes of their own, here or on the workers of a Dask cluster.

Each is the command that a user could start by hand, `cryoposes COMMAND --chunk K/N`.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ..core.errors import ConfigError, InputError, ResourceError
from ..core.io.error_log import ERROR_LOG_NAME
from ..core.io.names import CONFIG_NAME
from ..core.progress import PROGRESS_TO
from ..core.values import shown_error
from .chunked_config import ChunkedConfig
from .config import THREAD_VARIABLES
from .needs import threads_of

logger = logging.getLogger(__name__)

#: A chunk whose process is killed is repeated until it was tried so often.
_ATTEMPTS = 3
#: Ends of a process that do not come from this program or its user.
_KILLED = {-signal.SIGKILL, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT}
_MENDABLE = 2
_TIME, _ERROR = re.compile(r"^\d\d:\d\d:\d\d "), re.compile(r"Error: (.+)")
#: Processes of chunks that this process has started.
_running: Set[subprocess.Popen] = set()


class Share(NamedTuple):
    """A chunk for a worker: K/N, what it is called in an error, and the file that it writes last."""

    chunk: str
    name: str
    manifest: Path


def do_elsewhere(config: ChunkedConfig, output: Path, shares: Sequence[Share]) -> None:
    """Do chunks of a run; InputError or ResourceError if one fails.

    Parameters
    ----------
    config : of the run.
    output : its folder.
    shares : the chunks.
    """
    command = [config.command, "--config", str(output / CONFIG_NAME), "--output", str(output)]
    with _executor(config) as executor:
        futures = []
        for place, share in enumerate(shares):
            words, environment = [*command, "--chunk", share.chunk], {}
            if not config.dask:
                threads = str(max(1, threads_of(config) // config.workers))
                words += ["--threads", threads, "--gpu", "none" if config.gpu == "none" else ""]
                environment = {**dict.fromkeys(THREAD_VARIABLES, threads), **_part_of_gpus(place)}
            futures.append(executor.submit(do_chunk, words, share, os.getcwd(), environment))

        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            for future in futures:
                future.cancel()
            for process in list(_running):
                process.terminate()
            raise


@contextmanager
def _executor(config: ChunkedConfig) -> Iterator[Executor]:
    if not config.dask:
        with ThreadPoolExecutor(config.workers) as pool:
            yield pool
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise ResourceError(
            f"{config.command}: --dask needs Dask; install it with pip install "
            "'scipion-em-cryoposes[cluster]'."
        ) from None

    where = {"scheduler_file" if os.path.exists(config.dask) else "address": config.dask}
    try:
        client = Client(**where)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{config.command}: --dask is {config.dask}, where no scheduler answers "
            f"({shown_error(error)}); give the address that the scheduler printed."
        ) from error
    with client:
        yield client.get_executor(pure=False)


def _part_of_gpus(place: int) -> Dict[str, str]:
    """One of the GPUs that this process may use, in turn."""
    granted = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return {"CUDA_VISIBLE_DEVICES": granted[place % len(granted)]} if granted[1:] else {}


def do_chunk(words: List[str], share: Share, folder: str, environment: Mapping[str, str]) -> None:
    """Run the program for a chunk that is not done; InputError or ResourceError if it fails.

    Parameters
    ----------
    words : of the command line.
    share : the chunk.
    folder : working directory.
    environment : variables that differ from those here.
    """
    name = share.name
    for _ in range(_ATTEMPTS):
        # A worker that is killed at its very end has nothing to repeat: its successor would wait for
        # the next work of the run, which begins when this one ends.
        if (Path(folder) / share.manifest).exists():
            return
        status, sentence = run_program(words, folder, environment)
        if status not in _KILLED:
            break
        logger.warning("%s was killed (signal %d) and is repeated.", name, -status)
    if status == 0:
        return

    if status in _KILLED:
        raise ResourceError(
            f"{name} was killed {_ATTEMPTS} times (signal {-status}); free some memory, or use "
            "fewer workers, and run again to resume."
        )
    if status == _MENDABLE and sentence:
        raise InputError(sentence if sentence.startswith(name) else f"{name}: {sentence}")
    log = Path(words[words.index("--output") + 1]) / ERROR_LOG_NAME
    raise ResourceError(
        f"{name} ended with status {status}; look at {log}, if it exists, and run again to resume."
    )


def run_program(
    words: List[str], folder: str, environment: Mapping[str, str]
) -> Tuple[int, Optional[str]]:
    """Exit status of the program and the sentence of its error, if it gave one; its messages are
    passed on.

    words, folder, environment : see `do_chunk`.
    """
    variables = {name: value for name, value in os.environ.items() if name != PROGRESS_TO}
    process = subprocess.Popen(
        [sys.executable, "-m", __name__.split(".")[0], *words],
        cwd=folder,
        env={**variables, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )

    _running.add(process)
    sentence, chunk = None, words[words.index("--chunk") + 1]
    try:
        for line in process.stderr or ():
            found = _ERROR.search(line)
            sentence = found[1].strip() if found else sentence
            logger.info("chunk %s: %s", chunk, _TIME.sub("", line.rstrip()))
        return process.wait(), sentence
    finally:
        _running.discard(process)
