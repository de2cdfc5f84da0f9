"""Which poses are doubtful, so that their images are compared with all orientations once more.

Where the scale of the signal is too small (see `scales`), or where other poses competed to the end, the starts may have
missed the right one.
"""

from __future__ import annotations

import numpy as np

from .multi_start import Refined, Settings
from .scales import RightScales

#: How many poses enter each stage of a second look, see `multi_start.Settings`.
_KEEP = (16, 8, 4)
#: Differences of twice the log likelihood below this are numerical.
_SAME_GAIN = 0.1


def settings(max_shift_px: float) -> Settings:
    """Of a second look: shifts as far around those of the starts as they may lie."""
    return Settings(search_shift_px=max_shift_px, keep=_KEEP)


def doubtful(refined: Refined) -> np.ndarray:
    """Sorted rows of the poses that deserve a second look."""
    return np.flatnonzero(RightScales(refined.scale).low | (refined.basins > 1))


def improved(before_gain: np.ndarray, after: Refined) -> np.ndarray:
    """(B,) bool: where the second look found a pose at least as likely as before.

    The same pose counts: it has met more rivals by then.
    """
    return after.gain >= before_gain - _SAME_GAIN
