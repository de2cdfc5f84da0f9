"""Tracebacks for developers: in the folder of the run, never on the screen."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

from ..types import AnyPath
from ..values import shown_error
from .folder import create

logger = logging.getLogger(__name__)

ERROR_LOG_NAME = "error.log"


@contextmanager
def not_fatal(folder: AnyPath, what: str) -> Iterator[None]:
    """Turn any error in the block into a warning, with a traceback in the folder's error.log.

    For pictures and pages, which must not make a run fail. what : names them in the warning.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001  the results stand, whatever happens to a picture
        log = write_error_log(folder, error)
        logger.warning(
            "The run continues without %s (%s: %s); its results are complete. The traceback is in "
            "%s.",
            what,
            type(error).__name__,
            shown_error(error),
            log,
        )


def write_error_log(folder: Optional[AnyPath], error: BaseException) -> Path:
    """Append the traceback to the folder's error.log, or write it to a new temporary file.

    The temporary file is used if the folder is None or cannot be written to. Returns the path.
    """
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    data = f"{time.asctime()}\n{text}\n".encode("utf-8", "backslashreplace")

    try:
        if folder is None:
            raise FileNotFoundError("no folder is known")
        path = Path(folder) / ERROR_LOG_NAME
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes() + data
        with create(path) as handle:
            handle.write(data)
        return path
    except OSError:
        descriptor, name = tempfile.mkstemp(prefix="cryoposes-", suffix="-" + ERROR_LOG_NAME)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
        return Path(name)
