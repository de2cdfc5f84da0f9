"""Tracebacks of what went wrong, for whoever mends the program: in the run's folder, never on the screen."""

from __future__ import annotations

import os
import tempfile
import traceback
from pathlib import Path

from .atomic import create

ERROR_LOG_NAME = "error.log"


def write_error_log(folder, error: BaseException) -> Path:
    """The traceback in the folder's error.log or, where that cannot be, in a new file for temporary ones."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    data = text.encode("utf-8", "backslashreplace")
    path = Path(folder) / ERROR_LOG_NAME
    try:
        with create(path) as handle:
            handle.write(data)
        return path
    except OSError:
        descriptor, name = tempfile.mkstemp(prefix="cryoposes-", suffix="-" + ERROR_LOG_NAME)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
        return Path(name)
