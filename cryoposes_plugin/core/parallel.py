"""Independent pieces of work on all cores, results in order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Iterator, Sequence, Tuple, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def number_of_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    work: Callable[[Piece], Result], pieces: Sequence[Piece], threads: int = 0
) -> Iterator[Tuple[Piece, Result]]:
    """Each piece with its result, in the order of the pieces, computed by several threads.

    For work that spends its time outside the interpreter. Threads are at most one piece ahead, so
    that memory stays bounded. An error in a piece is raised when its turn comes.

    Parameters
    ----------
    work : computes the result of a piece.
    pieces : independent pieces of work.
    threads : number of threads; 0: one for each core.
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
