"""Runs any command: check everything, then run, resume, or do nothing if the run is finished."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Iterator, List, Optional

from ..core.errors import ConfigError, InputError
from ..core.io.error_log import not_fatal
from ..core.io.names import METRICS_NAME
from ..core.io.particle_files import read_particles, reads_kept
from ..core.notices import warnings_kept
from ..core.values import shown_error
from .chunked_config import ChunkedConfig
from .chunks import Chunk, ChunkDone, Chunks, is_prepared
from .config import THREAD_VARIABLES, Config
from .greetings import tensorflow_without_greetings
from .needs import Needs, beside_use, tell, workers_here
from .plausibility import questions
from .registry import module_of
from .run_directory import RunDirectory, alone_in

logger = logging.getLogger("cryoposes")
_TENSORFLOW_THREADS = "TF_NUM_INTRAOP_THREADS"


def run_command(config: Config, output: str, chunk: Optional[Chunk] = None) -> dict:
    """Check everything, then run or resume, or do nothing if finished; returns the metrics.

    chunk : the only one that is done, so that there are no metrics; None: the whole run.
    """
    config.validate()
    if chunk is not None and isinstance(config, ChunkedConfig):
        config.check_divisible()
    _check_inputs(config)
    _set_devices(config)
    quiet = tensorflow_without_greetings()
    with _tensorflow_threads(config), quiet, reads_kept(), warnings_kept() as warnings:
        module, needs = module_of(config.command), None

        if config.follows():
            _follow(module, config, output)
            return {}
        if chunk is None or not is_prepared(output):
            _ask(config)
            needs = _tell(config, output, chunk)
            module.check(config)

        if chunk is not None:
            _run_chunk(module, config, output, chunk)
            return {}
        return run_alone(module, config, output, warnings, needs)


def _tell(config: Config, output: str, chunk: Optional[Chunk]) -> Optional[Needs]:
    """What the run will need, unless it is finished; ResourceError if there is less."""
    if Path(output, METRICS_NAME).exists():
        return None
    try:
        return tell(config, output, workers_here(config) if chunk is None else 1)
    except (ConfigError, InputError):  # the command's check says it, and more
        return None


def _run_chunk(module: Any, config: Config, output: str, chunk: Chunk) -> None:
    """Do a chunk. Others work in the same folder meanwhile, but only one prepares them."""
    with ExitStack() as lock:
        if not is_prepared(output):
            lock.enter_context(alone_in(output))
        run = RunDirectory.open(output, config)
        if run.finished:
            logger.info("%s has already finished; there is nothing to do.", run.path)
            return
        run.divide = Chunks(run, chunk, lock.close)
        try:
            module.run(config, run)
        except ChunkDone as done:
            logger.info("%s", done)


def _follow(module: Any, config: Config, output: str) -> None:
    """Work for a run whose results, messages and warnings are those of another process."""
    for name in (logger.name, __name__.split(".")[0]):
        logging.getLogger(name).setLevel(logging.ERROR)
    module.check(config)
    if not os.path.lexists(os.path.join(output, METRICS_NAME)):
        with tempfile.TemporaryDirectory() as folder:
            module.run(config, RunDirectory(Path(folder), config, resumed=False))


def _ask(config: Config) -> None:
    """Log questions about unlikely numbers; InputError or ConfigError for impossible ones."""
    for question in questions(
        config, lambda path: read_particles(path, (), config.images_from, config.passthrough)
    ):
        logging.getLogger(__package__).warning("%s", question)


def _check_inputs(config: Config) -> None:
    for path in config.input_paths():
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(f"{config.command}: {path} does not exist; check the path.") from None
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{config.command}: {path} cannot be accessed ({shown_error(error)}); check the "
                "path."
            ) from error


def run_alone(
    module: Any, config: Config, output: str, warnings: List[str], needs: Optional[Needs] = None
) -> dict:
    """Run a command in its folder, which no other process may use meanwhile.

    Parameters
    ----------
    module : of the command (see `registry.module_of`).
    config : of the command.
    output : folder of the run.
    warnings : sentences that the run's report repeats.
    needs : what was told before.

    Returns
    -------
    The metrics of the run.
    """
    from .pictures import complete_report
    from .report import add_notes

    with alone_in(output):
        run = RunDirectory.open(output, config)
        if run.finished:
            metrics = run.metrics()
            logger.info("%s has already finished; there is nothing to do.", run.path)
            return metrics
        start = time.monotonic()
        run.divide = Chunks(run, None, lambda: None)
        metrics = module.run(config, run)
        metrics.setdefault("seconds", round(time.monotonic() - start, 2))
        with not_fatal(run.path, "the pictures of the run"):
            complete_report(run.path)
        metrics.update(beside_use(needs, time.monotonic() - start, run.path))
        metrics["warnings"] = list(warnings)
        with not_fatal(run.path, "the notes of its report"):
            add_notes(run.path, warnings)
        run.finish(metrics, device=_device())
        logger.info("%s finished in %.1f s: %s", config.command, metrics["seconds"], run.path)
        return metrics


def _set_devices(config: Config) -> None:
    """Set threads and GPUs, before TensorFlow is imported.

    NumPy is already loaded, so its number of threads can only be set by the caller.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if config.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible_devices(
            config.gpu, os.environ.get("CUDA_VISIBLE_DEVICES")
        )
    if config.threads:
        os.environ.update({variable: str(config.threads) for variable in THREAD_VARIABLES})


@contextmanager
def _tensorflow_threads(config: Config) -> Iterator[None]:
    """Set the threads per operation for this run; TensorFlow reads the variable when it starts."""
    before = os.environ.get(_TENSORFLOW_THREADS)
    if config.threads or config.thread_per_batch:
        os.environ[_TENSORFLOW_THREADS] = "1" if config.thread_per_batch else str(config.threads)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_TENSORFLOW_THREADS, None)
        else:
            os.environ[_TENSORFLOW_THREADS] = before


def visible_devices(wanted: str, granted: Optional[str]) -> str:
    """CUDA_VISIBLE_DEVICES for the wanted ids, counted among the granted ones (by default, all)."""
    if wanted == "none":
        return ""
    ids = [text.strip() for text in wanted.split(",")]
    if not all(text.isdigit() for text in ids):
        raise ConfigError(f"--gpu is {wanted!r}; give numbers separated by commas, or 'none'.")
    if granted is None:
        return ",".join(ids)
    devices = [device for device in granted.split(",") if device]
    if devices and max(map(int, ids)) >= len(devices):
        raise ConfigError(
            f"--gpu is {wanted}, but this job was granted {len(devices)} GPU(s), counted from 0; "
            "choose among those."
        )
    return ",".join(devices[int(i)] for i in ids) if devices else ""


def _device() -> str:
    """The devices of the run; TensorFlow is not imported to find out."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return "cpu"
    gpus = tensorflow.config.list_physical_devices("GPU")
    return ", ".join(g.name for g in gpus) if gpus else "cpu"
