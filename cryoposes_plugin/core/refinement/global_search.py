"""Which poses are doubtful, so that their images are compared with all orientations.

The starts may have missed the right pose where the scale of the signal is too small (see `scales`),
or where several poses competed until the last stage.
"""

from __future__ import annotations

import numpy as np

from .levenberg_marquardt import BOTH
from .multi_start import Refined, Settings
from .scales import ScaleDistribution

#: How many poses enter each stage of a global search, see `multi_start.Settings`.
_KEEP = (16, 8, 4)
#: Differences of twice the log likelihood below this are numerical.
_SAME_GAIN = 0.1


def settings(max_shift_px: float, assign: str = BOTH) -> Settings:
    """Settings of a global search: shifts up to this far from those of the starts."""
    return Settings(search_shift_px=max_shift_px, keep=_KEEP, assign=assign)


def doubtful(refined: Refined) -> np.ndarray:
    """Sorted rows of the poses whose images should be searched globally."""
    return np.flatnonzero(ScaleDistribution(refined.scale).low | (refined.basins > 1))


def improved(before_gain: np.ndarray, after: Refined) -> np.ndarray:
    """(B,) bool: where the global search found a pose at least as likely as the one before.

    The same pose counts, because it was compared with more rivals.
    """
    return after.gain >= before_gain - _SAME_GAIN
