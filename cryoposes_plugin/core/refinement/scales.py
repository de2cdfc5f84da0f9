"""Wrong poses, found from the scales of the particles' signals. In a wrong basin, the map explains
less of an image than in the right one, so the scale of its signal is too small.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

#: A scale below that of right poses by this factor, and by so many standard deviations of its
#: logarithm, is low.
_LOW, _DEVIATIONS = 0.85, 2.0
#: The distribution of right poses is fitted to these quantiles of all scales, which for a normal
#: distribution lie at ...
_SHARES, _NORMAL = (0.7, 0.9), (0.5244, 1.2816)
#: Least standard deviation of the logarithms: a few particles may have equal scales by chance.
_SMALLEST_DEVIATION = 0.02


class ScaleDistribution:
    """The log-normal distribution of the scales of right poses.

    It is fitted to the largest scales, because those of wrong poses are smaller.

    scale : (N,) of all particles.
    """

    def __init__(self, scale: np.ndarray):
        self._logarithm = np.log(np.maximum(scale, 1e-30))
        upper, top = np.quantile(self._logarithm, _SHARES)
        self._deviation = max((top - upper) / (_NORMAL[1] - _NORMAL[0]), _SMALLEST_DEVIATION)
        self._right = upper - _NORMAL[0] * self._deviation

    @property
    def low(self) -> np.ndarray:
        """(N,) bool: too small a scale to trust the pose."""
        return self._logarithm < self._right + min(np.log(_LOW), -_DEVIATIONS * self._deviation)

    @property
    def probability_of_wrong(self) -> np.ndarray:
        """(N,) for low scales; 0 for others.

        Of the particles of about the same scale, the share that exceeds the distribution of right
        poses (the local false discovery rate, Efron 2007), counted in steps of half a standard
        deviation.
        """
        step = np.floor((self._logarithm - self._right) / (0.5 * self._deviation))
        steps, index, counts = np.unique(step, return_inverse=True, return_counts=True)
        expected = len(step) * (ndtr(0.5 * (steps + 1)) - ndtr(0.5 * steps))
        return np.where(self.low, (1.0 - np.minimum(1.0, expected / counts))[index], 0.0)
