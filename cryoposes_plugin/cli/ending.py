"""How the program ends: with an exit status and one sentence, but no traceback on the screen.

0: done. 2: an error that the user can correct. 129, 130, 143: stopped by SIGHUP, Ctrl-C or SIGTERM;
the same command resumes. 70: an error in the program, with its traceback in a file.
"""

from __future__ import annotations

import codecs
import logging
import os
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import Iterator, List, Optional

from ..core.errors import CryoposesError
from ..core.io.error_log import write_error_log
from ..core.io.names import CONFIG_NAME
from ..core.memory import first_line, memory_errors
from ..core.progress import PROGRESS_TO
from ..core.values import shown_error

logger = logging.getLogger("cryoposes")

DONE, MENDABLE, FAULT = 0, 2, 70
_OURS = ("cryoposes", __name__.split(".")[0])


class Stopped(KeyboardInterrupt):
    """A signal that tells the program to end."""

    def __init__(self, number: int, frame=None):
        super().__init__(signal.Signals(number).name)
        self.number = number


def _stop(number: int, frame) -> None:
    raise Stopped(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block like Ctrl-C, unless they are ignored (`nohup`)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    taken = [number for number, handler in before.items() if handler == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def any_stream_takes_our_words() -> None:
    """Escape characters that the terminal or log cannot show (ASCII), except in file names."""
    codecs.register_error("cryoposes", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="cryoposes")


def _escaped(error: UnicodeError):
    """The bytes of UTF-8 file names, which are surrogates in an ASCII locale, as they are."""
    if isinstance(error, UnicodeEncodeError):
        try:
            name = error.object[error.start : error.end].encode("ascii", "surrogateescape")
            name.decode("utf-8")
            return name, error.end
        except UnicodeError:
            pass
    return codecs.backslashreplace_errors(error)


@contextmanager
def only_our_words() -> Iterator[None]:
    """Show log messages of this program, but not those and the warnings of libraries."""
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, handlers=_handlers())
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


def _handlers() -> List[logging.Handler]:
    """Messages go to stderr; progress goes to stdout if the environment variable says so."""
    apart = os.environ.get(PROGRESS_TO) == "stdout"
    errors, progress = logging.StreamHandler(sys.stderr), logging.StreamHandler(sys.stdout)
    errors.setLevel(logging.WARNING if apart else logging.INFO)
    progress.addFilter(lambda record: record.levelno < logging.WARNING)
    handlers: List[logging.Handler] = [errors, progress] if apart else [errors]
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        handler.addFilter(lambda record: record.name.split(".")[0] in _OURS)
    return handlers


def end(error: BaseException, output: Optional[str]) -> int:
    """Log one sentence on what went wrong, and return the exit status.

    output : folder of the run, if there is one.
    """
    if isinstance(error, KeyboardInterrupt):
        logger.error("Interrupted; run the same command again to resume.")
        return 128 + (error.number if isinstance(error, Stopped) else signal.SIGINT)

    sentence = _sentence(error)
    if sentence is not None:
        logger.error("Error: %s", sentence)
        return MENDABLE

    log = write_error_log(_place(output), error)
    logger.error(
        "Error: the program failed unexpectedly (%s: %s); please report the traceback in %s, and "
        "run the same command again to resume.",
        type(error).__name__,
        shown_error(error),
        log,
    )
    return FAULT


def _sentence(error: BaseException) -> Optional[str]:
    """The sentence of an expected error; None for an unexpected one."""
    if isinstance(error, CryoposesError):
        return str(error)
    if isinstance(error, memory_errors()):
        return (
            f"memory ran out ({first_line(error)}); free some memory, or use a machine with more."
        )
    if isinstance(error, OSError) and error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
        return (
            f"{name} cannot be used ({shown_error(error)}); check its name, its permissions and "
            "the free disk space."
        )
    return None


def _place(output: Optional[str]) -> Optional[str]:
    """The folder, if it is that of a run."""
    return output if output and os.path.lexists(os.path.join(output, CONFIG_NAME)) else None
