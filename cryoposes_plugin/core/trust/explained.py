"""The share of the images' signal that a map explains at given poses, without a model of the noise.

Noise has the same variance all over an image; the signal lies where the reprojections have theirs.
So in a band of frequencies, the variance of the images at pixel x is b + T v(x), with v the mean
square of the band-passed reprojections, and what the map leaves has the variance b + R v(x). The
slopes follow from regression, image by image, and the share explained is 1 - R / T: 1 for the right
map at right poses, whatever its amplitude, and near 0 for poses or maps that are wrong.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from ..fourier.points import FourierPoints

#: First and last shell of each band: about half an octave wide. The grey level of the background
#: was adjusted in the first shell.
_BANDS = ((2, 3), (4, 5), (6, 8), (9, 12), (13, 18), (19, 26), (27, 38), (39, 64))
#: A map of limited resolution explains nothing beyond it. The share is that of the first bands, as
#: many as explain most, but these at least.
_FEWEST_BANDS = 3
_NEARLY = 0.03
#: Where the power of the map falls to this share within two shells, and for good, a low-pass filter
#: ends it: what is beyond comes from interpolation. It is looked for from this shell on.
_CLIFF, _FIRST_CLIFF = 0.03, 4
#: Standard errors by which a share must differ from a limit.
_ERRORS = 2.5
#: A share with a larger standard error is not known.
_LARGEST_ERROR = 0.2


class BandPower(NamedTuple):
    """Power in a band of frequencies.

    last_shell : of the band.
    model : mean power of the reprojections of unit amplitude.
    signal, left : (B,) power of each image's signal, and of what the map leaves of it.
    """

    last_shell: int
    model: float
    signal: np.ndarray
    left: np.ndarray


class Explained(NamedTuple):
    """share : of the signal's power that the map explains; nan if no signal is seen.
    error : its standard error.
    last_shell : up to which.
    """

    share: float
    error: float
    last_shell: int

    @property
    def known(self) -> bool:
        return bool(np.isfinite(self.share) and self.error < _LARGEST_ERROR)

    def above(self, limit: float) -> bool:
        """Whether the share is known to be larger than this."""
        return self.known and self.share - _ERRORS * self.error > limit

    def below(self, limit: float) -> bool:
        """Whether the share is known to be smaller than this."""
        return self.known and self.share + _ERRORS * self.error < limit

    def less_than(self, other: Explained, part: float) -> bool:
        """Whether the share is less than this part of another one, and surely smaller than that."""
        if not (self.known and other.known and self.share < part * other.share):
            return False
        return other.share - self.share > _ERRORS * float(np.hypot(self.error, other.error))


def band_powers(
    points: FourierPoints,
    observed: np.ndarray,
    model: np.ndarray,
    explained: np.ndarray,
    last_shell: int,
) -> List[BandPower]:
    """Power of the signal in bands of frequencies.

    Parameters
    ----------
    points : of the images.
    observed : (B, P) complex coefficients of the images.
    model : (B, P) reprojections of unit amplitude, which say where the signal lies.
    explained : (B, P) what the map explains of each image: scale times amplitude times model.
    last_shell : beyond which the map holds nothing.
    """
    found: List[BandPower] = []
    last_shell = _last_shell_of_map(points, model, last_shell)
    for first, last in _BANDS:
        inside = (points.shell >= first) & (points.shell <= min(last, last_shell))
        if not inside.any():
            break
        where = (points.images(model * inside) ** 2).mean(axis=0)
        power = float(where.sum())

        centred = where - where.mean()
        weight = centred * (power / max(float((centred**2).sum()), 1e-300))
        signal, left = (
            np.einsum("byx,yx->b", points.images(values * inside) ** 2, weight)
            for values in (observed, observed - explained)
        )
        found.append(BandPower(min(last, last_shell), power, signal, left))
    return found


def _last_shell_of_map(points: FourierPoints, model: np.ndarray, last_shell: int) -> int:
    """The last shell before the cut of a low-pass filter; the one given if there is none."""
    power = points.shell_means((np.abs(model) ** 2).mean(axis=0))[: last_shell + 1]
    for shell in range(_FIRST_CLIFF, len(power)):
        if power[shell:].max() < _CLIFF * power[shell - 2]:
            return shell - 1
    return last_shell


def explained_share(bands: Sequence[BandPower], rows: Optional[np.ndarray] = None) -> Explained:
    """The share of the signal of the images, or of some rows of them, that the map explains.

    The bands count by their power. As many of the first bands are taken as explain nearly as much
    as the best number of them.
    """
    rows = np.arange(len(bands[0].signal)) if rows is None and bands else rows
    found: List[Explained] = []
    signal, left = np.zeros(1), np.zeros(1)
    for number, band in enumerate(bands, start=1):
        signal, left = signal + band.signal[rows], left + band.left[rows]
        if number >= min(_FEWEST_BANDS, len(bands)):
            found.append(_share(signal, left, band.last_shell))
    known = [share for share in found if share.known]
    if not known:
        return Explained(np.nan, np.inf, 0)
    least = min(1.0, max(share.share for share in known)) - _NEARLY
    return [share for share in known if share.share >= least][-1]


def risen_share(
    before: Sequence[BandPower], after: Sequence[BandPower], last_shell: int
) -> Explained:
    """By how much the share of explained signal differs between two explanations of the same
    images, measured where the same model has its signal.

    Parameters
    ----------
    before, after : the power of the images, and what each of both leaves of it.
    last_shell : up to which.
    """
    signal, lost = np.zeros(1), np.zeros(1)
    for one, other in zip(before, after):
        if one.last_shell <= last_shell:
            signal, lost = signal + other.signal, lost + one.left - other.left
    return _share(signal, signal - lost, last_shell)


def _share(signal: np.ndarray, left: np.ndarray, last_shell: int) -> Explained:
    """1 - R / T with the standard error of a ratio; unknown if the signal is not significant."""
    number = len(signal)
    if number < 3 or not signal.mean() > 3 * signal.std() / np.sqrt(number):
        return Explained(np.nan, np.inf, last_shell)
    ratio = left.mean() / signal.mean()
    error = (left - ratio * signal).std() / np.sqrt(number - 1) / signal.mean()
    return Explained(float(1 - ratio), float(error), last_shell)
