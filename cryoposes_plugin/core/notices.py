"""What a run warned of, kept for its metrics and its report: a line on the screen is soon gone."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import Iterator, List, Set

_PACKAGE = __name__.split(".")[0]


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        sentence = record.getMessage()
        if record.levelno == logging.WARNING and sentence not in self.sentences:
            self.sentences.append(sentence)


class _Once(logging.Filter):
    """Lets a warning of this package through once, however often a file is read."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: Set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        sentence = record.getMessage()
        if record.levelno != logging.WARNING or not record.name.startswith(_PACKAGE):
            return True
        new = sentence not in self.shown
        self.shown.add(sentence)
        return new


@contextmanager
def warnings_kept() -> Iterator[List[str]]:
    """The warnings that this package logs within the block, each once, in the order in which they were said.

    The screen shows each once, too.
    """
    keeper, ours, shown = _Keeper(), logging.getLogger(_PACKAGE), logging.getLogger().handlers
    filters = [(handler, _Once()) for handler in shown]
    ours.addHandler(keeper)
    for handler, once in filters:
        handler.addFilter(once)
    try:
        yield keeper.sentences
    finally:
        ours.removeHandler(keeper)
        for handler, once in filters:
            handler.removeFilter(once)
