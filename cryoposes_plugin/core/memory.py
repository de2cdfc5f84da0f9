"""Where the memory does not take a batch: half of it at a time where its rows are independent, else one sentence."""

from __future__ import annotations

import logging
import resource
import sys
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, Tuple, Type, TypeVar

import numpy as np

from .errors import ResourceError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def memory_errors() -> Tuple[Type[BaseException], ...]:
    """What is raised when memory runs out: Python's and NumPy's error, and TensorFlow's where it is loaded."""
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    return (MemoryError,) if errors is None else (MemoryError, errors.ResourceExhaustedError)


class BatchLimit:
    """How many rows at once the memory takes, as far as is known: a batch that it refuses is halved, and so are all
    that come after.

    what : the rows, for the messages ("images"). largest : rows at once from the beginning; default: any number.
    """

    def __init__(self, what: str, largest: Optional[int] = None):
        self.what, self.largest = what, largest

    def parts(self, work: Callable[[np.ndarray], Result], number: int) -> List[Result]:
        """Results of `work` for consecutive parts of the rows 0 ... number - 1.

        What it gives for a row must not depend on the others. ResourceError where not even one row fits.
        """
        results: List[Result] = []
        start = 0
        while start < number:
            rows = np.arange(start, min(number, start + (self.largest or number)))
            try:
                results.append(work(rows))
            except memory_errors() as error:
                self._halve(len(rows), error)
                continue
            start += len(rows)
        return results

    def _halve(self, size: int, error: BaseException) -> None:
        if size == 1:
            raise ResourceError(
                f"The memory does not take one of the {self.what} at a time ({first_line(error)}); free some, leave "
                "the GPU (--gpu none), or take a machine with more."
            ) from error
        self.largest = (size + 1) // 2
        logger.info(
            "The memory does not take %d %s at once: going on with %d.",
            size,
            self.what,
            self.largest,
        )


@contextmanager
def one_sentence(sentence: str) -> Iterator[None]:
    """Turn running out of memory into ResourceError: for what cannot be halved."""
    try:
        yield
    except memory_errors() as error:
        raise ResourceError(f"{sentence} ({first_line(error)})") from error


def first_line(error: BaseException) -> str:
    """What TensorFlow and NumPy say of the size that was asked for, without the listing that may follow."""
    return (str(error).strip() or "out of memory").splitlines()[0].rstrip(".")


def available_bytes() -> Optional[int]:
    """Memory that the system and this process's limit leave, None where the system does not say."""
    limits = [_free_memory(), _free_address_space()]
    return min((limit for limit in limits if limit is not None), default=None)


def _free_memory() -> Optional[int]:
    try:
        with open("/proc/meminfo", encoding="ascii") as handle:
            line = next(line for line in handle if line.startswith("MemAvailable:"))
        return 1024 * int(line.split()[1])
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _free_address_space() -> Optional[int]:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        with open("/proc/self/statm", encoding="ascii") as handle:
            pages = int(handle.read().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return max(0, limit - pages * resource.getpagesize())


def require_memory(need_bytes: int, subject: str) -> None:
    """ResourceError where something needs more memory than there is, said before any of it is taken."""
    there = available_bytes()
    if there is not None and need_bytes > there:
        raise ResourceError(
            f"{subject} needs about {need_bytes / 2**30:.3g} GiB of memory and {there / 2**30:.3g} GiB are free; take "
            "a smaller one, or a machine with more."
        )
