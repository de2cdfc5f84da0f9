"""Wrong poses, found from the scales of the particles' signals. In a wrong basin, the map explains
less of an image than in the right one, so the scale of its signal is too small.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

#: A scale below that of right poses by this factor, and by so many standard deviations of its
#: logarithm, is low.
_LOW, _DEVIATIONS = 0.85, 2.0
#: As many below the typical scale of right poses, an image does not show what right ones are like.
_USABLE_DEVIATIONS = 1.5
#: The distribution of right poses is fitted to these quantiles of all scales, which for a normal
#: distribution lie at ...
_SHARES, _NORMAL = (0.7, 0.9), (0.5244, 1.2816)
#: Least standard deviation of the logarithms: a few particles may have equal scales by chance.
_SMALLEST_DEVIATION = 0.02
#: A mode of the scales counts if its density is at least this share of the highest; at how many
#: scales the density is taken.
_CLEAR_MODE, _STEPS = 0.3, 400
#: Half of the values of a standard normal distribution above 0 lie above this.
_NORMAL_QUARTILE = 0.6745
_LARGEST_SPREAD = 0.7


def typical_scale(scale: np.ndarray, error: np.ndarray) -> float:
    """The typical scale of right poses: the highest of the clear modes of all scales (N,).

    The density of the scales is smoothed by their typical error; a mode is clear if it is at least
    `_CLEAR_MODE` of the largest one. Neither the share of wrong poses nor the spread of the others
    moves it. It is 0 if no scale is above 0.

    Parameters
    ----------
    scale : (N,).
    error : (N,) standard error of each.
    """
    highest = float(scale.max())
    if highest <= 0:
        return 0.0  # no image shows the map
    grid = np.linspace(0.0, highest, _STEPS)
    width = max(float(np.median(error)), _SMALLEST_DEVIATION * highest)
    density = np.exp(-0.5 * ((grid[:, None] - scale) / width) ** 2).sum(axis=1)
    inner = density[1:-1]
    peaks = 1 + np.flatnonzero((inner >= density[:-2]) & (inner > density[2:]))
    if not len(peaks):
        return float(np.median(scale))
    return float(grid[peaks[density[peaks] >= _CLEAR_MODE * density[peaks].max()][-1]])


def scale_spread(scale: np.ndarray, error: np.ndarray, centre: float) -> float:
    """Standard deviation of the logarithm of the scales of right poses, beyond their errors.

    From the scales above the centre alone, because those of wrong poses lie below.

    Parameters
    ----------
    scale, error : (N,) and their standard errors.
    centre : see `typical_scale`.
    """
    above = scale > centre
    if not above.any() or centre <= 0:
        return 0.0
    total = _deviation_above(scale, centre)
    noise = float(np.median(error[above] / scale[above]))
    return float(np.clip(np.sqrt(max(total**2 - noise**2, 0.0)), 0.0, _LARGEST_SPREAD))


def right_by_scale(scale: np.ndarray, centre: float) -> np.ndarray:
    """(N,) bool: images whose scale is not too small for a right pose, even if few poses are right.

    Parameters
    ----------
    scale : (N,).
    centre : see `typical_scale`.
    """
    if centre <= 0:
        return np.ones(len(scale), dtype=bool)
    deviation = _deviation_above(scale, centre)
    logarithm = np.log(np.maximum(scale, 1e-30) / centre)
    return logarithm >= min(np.log(_LOW), -_USABLE_DEVIATIONS * deviation)


def _deviation_above(scale: np.ndarray, centre: float) -> float:
    """Standard deviation of the logarithm of scales, from those above the centre; 0 if none is."""
    above = scale[scale > centre]
    if not len(above):
        return 0.0
    return float(np.median(np.log(above / centre))) / _NORMAL_QUARTILE


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
