"""How the program ends, whatever happens: an exit status, one sentence, and no traceback on the screen.

0: done. 2: something that the user can mend. 129, 130, 143: stopped by SIGHUP, Ctrl-C, SIGTERM; the same command
resumes. 70: a fault of the program, with its traceback in a file.
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
    """A signal that asks the program to end."""

    def __init__(self, number: int, frame=None):
        super().__init__(signal.Signals(number).name)
        self.number = number


def _stop(number: int, frame) -> None:
    raise Stopped(number)


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does; what was ignored before (`nohup`) stays ignored."""
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
    """Where the screen or a log is ASCII, as on batch systems, what it cannot show is escaped; names stay names."""
    codecs.register_error("cryoposes", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="cryoposes")


def _escaped(error: UnicodeError):
    """Bytes of a name in UTF-8 (Python holds them as surrogates where the locale is ASCII) as they are."""
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
    """Log lines of this program go to the screen; those of libraries, and their warnings, do not."""
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, handlers=_handlers())
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


def _handlers() -> List[logging.Handler]:
    """One for all lines on stderr; where the variable asks for it, progress goes to stdout instead."""
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
    """Say in one sentence what went wrong; returns the exit status. output : folder of the run, if there is one."""
    if isinstance(error, KeyboardInterrupt):
        logger.error("Interrupted; run the same command again to resume.")
        return 128 + (error.number if isinstance(error, Stopped) else signal.SIGINT)
    sentence = _sentence(error)
    if sentence is not None:
        logger.error("Error: %s", sentence)
        return MENDABLE
    log = write_error_log(_place(output), error)
    logger.error(
        "Error: the program failed in a way that nobody foresaw (%s: %s); its traceback is in %s: please report it, "
        "and run the same command again to resume.",
        type(error).__name__,
        shown_error(error),
        log,
    )
    return FAULT


def _sentence(error: BaseException) -> Optional[str]:
    """For what was foreseen."""
    if isinstance(error, CryoposesError):
        return str(error)
    if isinstance(error, memory_errors()):
        return f"the memory is not enough ({first_line(error)}); free some, or take a machine with more."
    if isinstance(error, OSError) and error.filename is not None:
        name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
        return f"{name} cannot be used ({shown_error(error)}); check its name, its permissions and the space on its disk."
    return None


def _place(output: Optional[str]) -> Optional[str]:
    """The folder, if it is a run's."""
    return output if output and os.path.lexists(os.path.join(output, CONFIG_NAME)) else None
