"""Tracebacks of what went wrong, for whoever mends the program: in the run's folder, never on the screen."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from ..values import shown_error
from .atomic import create

logger = logging.getLogger(__name__)

ERROR_LOG_NAME = "error.log"


@contextmanager
def not_fatal(folder, what: str) -> Iterator[None]:
    """Pictures and pages cannot fail a run: whatever goes wrong in the block is a warning, and a traceback in the
    folder's error.log. what : is drawn or written there."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  the results stand, whatever a picture of them meets
        log = write_error_log(folder, error)
        logger.warning(
            "The run goes without %s (%s: %s); its results are whole. The traceback is in %s.",
            what,
            type(error).__name__,
            shown_error(error),
            log,
        )


def write_error_log(folder, error: BaseException) -> Path:
    """Add the traceback to the folder's error.log. Where that cannot be, or the folder is None, it is put in a new
    temporary file."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    data = f"{time.asctime()}\n{text}\n".encode("utf-8", "backslashreplace")
    try:
        path = Path(folder) / ERROR_LOG_NAME
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes() + data
        with create(path) as handle:
            handle.write(data)
        return path
    except (OSError, TypeError):
        descriptor, name = tempfile.mkstemp(prefix="cryoposes-", suffix="-" + ERROR_LOG_NAME)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
        return Path(name)
