"""Progress of long work: a log line with the rate and the remaining time every few seconds."""

from __future__ import annotations

import logging
import time
from typing import Dict

logger = logging.getLogger(__name__)

#: Environment variable: "stdout" sends the progress there, instead of to stderr with warnings and
#: errors.
PROGRESS_TO = "CRYOPOSES_PROGRESS_TO"


def format_duration(seconds: float) -> str:
    """75.2 -> '1 min 15 s'."""
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Counts the work that is done.

    Parameters
    ----------
    total : amount of work, in units.
    unit : what is counted ("particles").
    task : what is done, for the log line.
    done : what an earlier, interrupted run had finished; it does not count for the rate.
    interval_s : time between log lines.
    """

    def __init__(self, total: int, unit: str, task: str, done: int = 0, interval_s: float = 5.0):
        self.total, self.unit, self.task, self.interval_s = total, unit, task, interval_s
        self.done = self._done_before = done
        self._start = self._last = time.monotonic()

    @property
    def rate(self) -> float:
        """Units a second since this object was made."""
        return (self.done - self._done_before) / max(time.monotonic() - self._start, 1e-9)

    def advance(self, n: int, **numbers: float) -> None:
        """Count n more units; numbers (loss=0.3, ...) are printed with the next line."""
        self.done += n
        now = time.monotonic()
        if now - self._last < self.interval_s and self.done < self.total:
            return
        self._last = now

        rate = self.rate
        left = format_duration((self.total - self.done) / rate) if rate > 0 else "unknown"
        extra = "".join(
            f", {name.replace('_', ' ')} {value:.4g}" for name, value in numbers.items()
        )
        logger.info(
            "%s: %d/%d %s (%.0f %%), %.0f %s/s, %s left%s",
            self.task,
            self.done,
            self.total,
            self.unit,
            100 * self.done / max(self.total, 1),
            rate,
            self.unit,
            left,
            extra,
        )


class Stopwatch:
    """Seconds that the parts of a task take, by the clock.

    Parameters
    ----------
    task : what is done, for the log lines.
    """

    def __init__(self, task: str):
        self.task = task
        self.seconds: Dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, part: str) -> None:
        """Log the time since the last lap, or since this object was made, as that of a part; parts
        of one name add up.
        """
        now = time.monotonic()
        spent, self._last = now - self._last, now
        self.seconds[part] = self.seconds.get(part, 0.0) + spent
        logger.info("%s: %s took %.1f s.", self.task, part, spent)

    def log_all(self) -> None:
        """One line with all parts."""
        total = sum(self.seconds.values())
        parts = ", ".join(f"{part} {spent:.1f} s" for part, spent in self.seconds.items())
        logger.info("%s: %.1f s: %s.", self.task, total, parts)
