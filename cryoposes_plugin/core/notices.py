"""The warnings of a run, collected for its metrics and its report."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import Iterator, List, Set

_PACKAGE = __name__.split(".")[0]


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.sentences: List[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        sentence = record.getMessage()
        if record.levelno == logging.WARNING and sentence not in self.sentences:
            self.sentences.append(sentence)


class _Once(logging.Filter):
    """Shows each warning of this package once, even if a file is read several times."""

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
    """The warnings that this package logs within the block, in order and without repetitions.

    The screen shows each of them once, too.
    """
    collector, package, handlers = (
        _Collector(),
        logging.getLogger(_PACKAGE),
        logging.getLogger().handlers,
    )
    filters = [(handler, _Once()) for handler in handlers]
    package.addHandler(collector)
    for handler, once in filters:
        handler.addFilter(once)
    try:
        yield collector.sentences
    finally:
        package.removeHandler(collector)
        for handler, once in filters:
            handler.removeFilter(once)
