"""Running out of memory: halve the batch if its rows are independent, otherwise raise
ResourceError.
"""

from __future__ import annotations

import logging
import resource
import sys
import threading
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, Tuple, Type, TypeVar

import numpy as np

from .errors import ResourceError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def memory_errors() -> Tuple[Type[BaseException], ...]:
    """The errors that are raised when memory runs out: of Python and NumPy, and of TensorFlow if it
    is loaded.
    """
    errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    return (MemoryError,) if errors is None else (MemoryError, errors.ResourceExhaustedError)


class BatchLimit:
    """The number of rows that fit into memory at once, as far as is known.

    A batch that does not fit is halved, and all later batches are at most that large. Threads may
    share one limit: it only ever decreases.

    Parameters
    ----------
    what : the rows, for the messages ("images").
    largest : number of rows at once from the beginning; default: any number.
    """

    def __init__(self, what: str, largest: Optional[int] = None):
        self.what, self.largest = what, largest
        self._lock = threading.Lock()

    def parts(self, work: Callable[[np.ndarray], Result], number: int) -> List[Result]:
        """Results of `work` for consecutive parts of the rows 0 ... number - 1.

        The result of a row must not depend on the other rows. Raises ResourceError if not even one
        row fits.
        """
        results: List[Result] = []
        start = 0
        while start < number:
            largest = self.largest
            rows = np.arange(start, min(number, start + (largest or number)))
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
                f"Not even one of the {self.what} at a time fits into memory "
                f"({first_line(error)}); free some memory, do not use the GPU (--gpu none), or use "
                "a machine with more."
            ) from error

        with self._lock:
            half = (size + 1) // 2
            if self.largest is not None and self.largest <= half:
                return  # another thread has found this out already
            self.largest = half
        logger.info(
            "A batch of %d %s does not fit into memory: continuing with %d at once.",
            size,
            self.what,
            half,
        )


@contextmanager
def one_sentence(sentence: str) -> Iterator[None]:
    """Raise ResourceError with this sentence if memory runs out: for work that cannot be halved."""
    try:
        yield
    except memory_errors() as error:
        raise ResourceError(f"{sentence} ({first_line(error)})") from error


def first_line(error: BaseException) -> str:
    """The first line of the message of TensorFlow or NumPy, without the listing that may follow."""
    return (str(error).strip() or "out of memory").splitlines()[0].rstrip(".")


def available_bytes() -> Optional[int]:
    """Memory that is left by the system and by the limit of this process; None if the system does
    not report it.
    """
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


def require_memory(
    need_bytes: int, subject: str, remedy: str = "use a smaller one, or a machine with more memory"
) -> None:
    """Raise ResourceError if something needs more memory than there is, before any of it is
    allocated.
    """
    free = available_bytes()
    if free is not None and need_bytes > free:
        raise ResourceError(
            f"{subject} needs about {need_bytes / 2**30:.3g} GiB of memory and {free / 2**30:.3g} "
            f"GiB are free; {remedy}."
        )
