"""How many steps fit into the minutes asked for.

The rate over the first steps settles it, and where the rate changes it is settled anew. Every total is recorded with
the step that it counts from: a resumed run follows the record, so that all it does is a function of seed, step and
record.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Deque, List, Optional, Sequence, Tuple

#: Seconds, for durations.
clock = time.monotonic

#: (step, the number of steps in all that counts from there)
Record = List[Tuple[int, int]]

#: The rate is measured from the step on that follows tracing and first-touch costs ...
_FIRST_MEASURED_STEP = 5
#: ... to this one, or until this share of the time is gone; but however short the time, so many steps are made.
_LAST_MEASURED_STEP = 40
_MEASURING_SHARE = 0.2
_FEWEST_STEPS = 8
#: Shares of the time: between two looks at the rate, that the rate is measured over, that the last look leaves.
_LOOK, _WINDOW, _LAST_LOOK = 0.02, 0.1, 0.02
#: Smaller changes of the total than this share of it are not worth a record.
_SMALL_CHANGE = 0.005
#: Left for the model's last validation and the report, of the time, until a validation was timed; and at most.
_RESERVE, _LARGEST_RESERVE = 0.06, 0.25
#: Beside a validation of the finished network: making it, writing it and the report.
_WRITING_S = 4.0


class Pace:
    """The number of steps: `steps` where these are given, else what fits into the minutes."""

    def __init__(
        self, steps: Optional[int], minutes: Optional[float], record: Sequence[Tuple[int, int]] = ()
    ):
        self.record: Record = (
            [(0, steps)] if steps is not None else [(step, total) for step, total in record]
        )
        self._open = steps is None
        self._seconds = 60.0 * (minutes or 0.0)
        self._reserve_s = _RESERVE * self._seconds
        self._made = 0
        self._marks: Deque[Tuple[int, float]] = deque()

    def total(self, step: int) -> Optional[int]:
        """The number of steps as it was known when `step` of them were made."""
        return next((total for since, total in reversed(self.record) if since <= step), None)

    def validation_took(self, seconds: float) -> None:
        """What one validation costs, tracing included, is left for that of the finished network and for the report."""
        self._reserve_s = min(2.0 * seconds + _WRITING_S, _LARGEST_RESERVE * self._seconds)

    def count(self, step: int, seconds: float) -> bool:
        """`step` steps are made, so many seconds after the start; tells whether the record has grown."""
        self._made += 1
        if (
            not self._open
            or self._made < _FIRST_MEASURED_STEP
            or (self.record and step < self.record[-1][0])
        ):
            return False
        if self._marks and seconds - self._marks[-1][1] < _LOOK * self._seconds and self.record:
            return False
        self._marks.append((step, seconds))
        total = self._revised(step, seconds) if self.record else self._first(step, seconds)
        if total is None:
            return False
        self.record.append((step, total))
        return True

    def _first(self, step: int, seconds: float) -> Optional[int]:
        early = seconds < self._seconds * _MEASURING_SHARE
        if step < _FEWEST_STEPS or (step < _LAST_MEASURED_STEP and early):
            return None
        return step + int(self._rate() * max(self._left(seconds), 0.0))

    def _revised(self, step: int, seconds: float) -> Optional[int]:
        if len(self._marks) < 2:
            return None
        while len(self._marks) > 2 and seconds - self._marks[1][1] >= _WINDOW * self._seconds:
            self._marks.popleft()
        left, before = self._left(seconds), self.record[-1][1]
        self._open = left > _LAST_LOOK * self._seconds
        total = step + round(self._rate() * max(left, _LAST_LOOK * self._seconds))
        if not self._open:
            total = min(total, before)
        return total if abs(total - before) > _SMALL_CHANGE * before else None

    def _left(self, seconds: float) -> float:
        return self._seconds - self._reserve_s - seconds

    def _rate(self) -> float:
        """Steps a second between the first and the last mark."""
        (first, begin), (last, end) = self._marks[0], self._marks[-1]
        return (last - first) / max(end - begin, 1e-9)
