"""Number of training steps that fit into the given minutes.

It follows from the rate of the first steps, and is revised when the rate changes. Every total is
recorded with the step from which it holds. A resumed run follows the record, so that everything it
does is a function of seed, step and record.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Deque, List, Optional, Sequence, Tuple

#: Seconds, to measure durations.
clock = time.monotonic

#: (step, total number of steps that holds from there on)
Record = List[Tuple[int, int]]

#: The rate is measured from this step on, after tracing and other costs of the first steps ...
_FIRST_MEASURED_STEP = 5
#: ... to this one, or until this share of the time has passed. This many steps are made however
#: short the time is.
_LAST_MEASURED_STEP = 40
_MEASURING_SHARE = 0.2
_FEWEST_STEPS = 8
#: Shares of the time: between two revisions of the total, over which the rate is measured, and left
#: after the last revision.
_INTERVAL, _WINDOW, _END = 0.02, 0.1, 0.02
#: Changes of the total below this share of it are not recorded.
_SMALL_CHANGE = 0.005
#: Share of the time left for the last validation and the report until a validation has been timed,
#: and at most.
_RESERVE, _LARGEST_RESERVE = 0.06, 0.25
#: Time to make and write the finished network and the report.
_WRITING_S = 4.0


class StepBudget:
    """Total number of steps: `steps` if given, otherwise as many as fit into the minutes.

    record : of an interrupted run.
    """

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
        """Total number of steps as it was known after `step` of them; None if it was not known yet."""
        return next((total for since, total in reversed(self.record) if since <= step), None)

    def validation_took(self, seconds: float) -> None:
        """Reserve time for the last validation and the report, from what a validation with its
        tracing takes.
        """
        self._reserve_s = min(2.0 * seconds + _WRITING_S, _LARGEST_RESERVE * self._seconds)

    def count(self, step: int, seconds: float) -> bool:
        """Count a step, done so many seconds after the start; True if a new total was recorded."""
        self._made += 1
        if (
            not self._open
            or self._made < _FIRST_MEASURED_STEP
            or (self.record and step < self.record[-1][0])
        ):
            return False
        if self._marks and seconds - self._marks[-1][1] < _INTERVAL * self._seconds and self.record:
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
        self._open = left > _END * self._seconds
        total = step + round(self._rate() * max(left, _END * self._seconds))
        if not self._open:
            total = min(total, before)
        return total if abs(total - before) > _SMALL_CHANGE * before else None

    def _left(self, seconds: float) -> float:
        return self._seconds - self._reserve_s - seconds

    def _rate(self) -> float:
        """Steps per second between the first and the last mark."""
        (first, begin), (last, end) = self._marks[0], self._marks[-1]
        return (last - first) / max(end - begin, 1e-9)
