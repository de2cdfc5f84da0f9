"""Independent pieces of work on all cores, results in order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Iterator, Sequence, Tuple, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def number_of_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    work: Callable[[Piece], Result], pieces: Sequence[Piece], threads: int = 0
) -> Iterator[Tuple[Piece, Result]]:
    """Each piece with its result, in the order of the pieces, worked on by threads; 0: one for each core.

    For work that spends its time outside the interpreter. At most one piece more than there are threads is begun before
    its turn, so that memory stays bounded. An error of a piece is raised when its turn comes.
    """
    if len(pieces) == 1:
        yield pieces[0], work(pieces[0])
        return
    threads = threads or number_of_cores()
    waiting: Deque[Tuple[Piece, Future]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for piece in pieces:
                waiting.append((piece, pool.submit(work, piece)))
                if len(waiting) > threads:
                    yield _next(waiting)
            while waiting:
                yield _next(waiting)
        finally:
            for _, future in waiting:
                future.cancel()


def _next(waiting: Deque[Tuple[Piece, Future]]) -> Tuple[Piece, Result]:
    piece, future = waiting.popleft()
    return piece, future.result()
