"""Which poses are doubtful, so that their images are compared with all orientations once more.

In a wrong basin the map explains less of an image than in the right one: the scale of its signal comes out too small.
Where that is so, or where other poses competed to the end, the starts may have missed the right one.
"""

from __future__ import annotations

import numpy as np

from .multi_start import Refined, Settings

#: How many poses enter each stage of a second look, see `multi_start.Settings`.
_KEEP = (128, 32, 6)
#: A scale below the median by this share of it, and by so many of its standard deviations, is doubtful.
_LOW_SCALE, _DEVIATIONS = 0.15, 2.0
#: Share of a normal distribution below one standard deviation.
_ONE_SIGMA = 0.8413
#: Differences of twice the log likelihood below this are numerical.
_SAME_GAIN = 0.1


def settings(max_shift_px: float) -> Settings:
    """Of a second look: many poses, and shifts as far around those of the starts as they may lie."""
    return Settings(search_shift_px=max_shift_px, keep=_KEEP)


def doubtful(refined: Refined) -> np.ndarray:
    """Sorted rows of the poses that deserve a second look.

    The scales above the median tell how much they scatter: below it are those of wrong poses, too.
    """
    scale = refined.scale
    median, above = np.quantile(scale, [0.5, _ONE_SIGMA])
    low = scale < median - max(_LOW_SCALE * median, _DEVIATIONS * (above - median))
    return np.flatnonzero(low | (refined.basins > 1))


def improved(before_gain: np.ndarray, after: Refined) -> np.ndarray:
    """(B,) bool: where the second look found a pose at least as likely as before.

    The same pose counts: it has met more rivals by then.
    """
    return after.gain >= before_gain - _SAME_GAIN
