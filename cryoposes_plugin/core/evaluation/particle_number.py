"""How the resolution of a reconstruction grows with the number of its particles.

The noise of an average falls with the number N of images, so its spectral SNR is SSNR(k) = N s(k),
and s is measured once. A map of N images, and half maps of N / 2 each, then have the expected

    FSC with the truth = sqrt(N s / (1 + N s)),     FSC of half maps = N s / (2 + N s)

(Frank and Al-Ali 1975; Rosenthal and Henderson 2003). s holds the errors of the poses, the images
that the filter rejects, and junk, as long as these do not depend on N.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from ..fourier.shells import shell_counts, shell_index
from ..maps.fsc import resolution_angstrom

#: Thresholds of the FSC of half maps, and with the truth.
HALF_MAPS, TRUTH = 0.143, 0.5
#: An FSC is known if it is this many times its standard error.
_SIGNIFICANT = 3.0
_MOST_PARTICLES = 1e9
_STEPS = 60
#: Fewer shells determine no B-factor.
_FEWEST_SHELLS = 3


@dataclass(frozen=True)
class SignalPerImage:
    """Spectral SNR that one image adds to a map.

    Attributes
    ----------
    ssnr : (S,) float64 by shell, shell s at frequency s / (D pixels); 0 beyond `last_shell`.
    last_shell : the last shell in which it is known.
    box_size_px, pixel_size_angstrom : of the map.
    """

    ssnr: np.ndarray
    last_shell: int
    box_size_px: int
    pixel_size_angstrom: float

    @property
    def frequency_per_angstrom(self) -> np.ndarray:
        """(S,)."""
        return np.arange(len(self.ssnr)) / (self.box_size_px * self.pixel_size_angstrom)

    @property
    def finest_angstrom(self) -> float:
        """The resolution up to which it is known."""
        return self.box_size_px * self.pixel_size_angstrom / max(self.last_shell, 1)

    def fsc_of_half_maps(self, number: float) -> np.ndarray:
        """(S,) expected FSC of two half maps of a set of this many images."""
        signal = number * self.ssnr
        return signal / (2.0 + signal)

    def fsc_with_truth(self, number: float) -> np.ndarray:
        """(S,) expected FSC of the map of this many images with the truth."""
        signal = number * self.ssnr
        return np.sqrt(signal / (1.0 + signal))

    def resolution_of_half_maps(self, number: float) -> float:
        """Å at which the FSC of the half maps falls below 0.143."""
        return self._resolution(self.fsc_of_half_maps(number), HALF_MAPS)

    def resolution_with_truth(self, number: float) -> float:
        """Å at which the FSC with the truth falls below 0.5."""
        return self._resolution(self.fsc_with_truth(number), TRUTH)

    def number_for(self, resolution: float) -> Optional[float]:
        """Images whose half maps reach this resolution in Å; None if it is finer than what is
        known, or needs more than 10^9.
        """
        if resolution < self.finest_angstrom or (
            self.resolution_of_half_maps(_MOST_PARTICLES) > resolution
        ):
            return None
        low, high = 0.0, np.log(_MOST_PARTICLES)
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            enough = self.resolution_of_half_maps(np.exp(middle)) <= resolution
            low, high = (low, middle) if enough else (middle, high)
        return float(np.exp(high))

    def _resolution(self, curve: np.ndarray, threshold: float) -> float:
        return resolution_angstrom(curve, threshold, self.box_size_px, self.pixel_size_angstrom)


def signal_per_image(
    fsc_with_truth: np.ndarray,
    number: int,
    box_size_px: int,
    pixel_size_angstrom: float,
    share: float = 1.0,
) -> SignalPerImage:
    """s = FSC^2 / (1 - FSC^2) / N, from the FSC with the truth, which shows signals far below the
    noise that the FSC of half maps does not: it is the root of SSNR where that is small.

    Parameters
    ----------
    fsc_with_truth : (S,) of the map of N images.
    number : N.
    box_size_px, pixel_size_angstrom : of the map.
    share : of the box that the mask leaves, which lowers the number of independent coefficients.
    """
    curve = np.clip(fsc_with_truth, 0.0, 1.0 - 1e-9)
    counts = shell_counts(shell_index(box_size_px), len(curve)) * max(share, 1e-6)
    error = (1.0 - curve**2) / np.sqrt(np.maximum(2.0 * counts, 1.0))
    unknown = np.flatnonzero(curve[1:] < _SIGNIFICANT * error[1:])
    last = int(unknown[0]) if len(unknown) else len(curve) - 1

    ssnr = curve**2 / (1.0 - curve**2) / number
    ssnr[0] = ssnr[min(1, last)]
    ssnr[last + 1 :] = 0.0
    return SignalPerImage(ssnr, last, box_size_px, pixel_size_angstrom)


def b_factor_line(signal: SignalPerImage) -> Optional[Tuple[float, float]]:
    """B in Å^2, and the intercept, of ln N = intercept + B / (2 d^2) (Rosenthal and Henderson
    2003), by least squares over the finer half of the shells that are known; None for too few.

    N is the number of images whose half maps reach the resolution d.
    """
    shells = np.arange(max(1, (signal.last_shell + 1) // 2), signal.last_shell + 1)
    shells = shells[signal.ssnr[shells] > 0]
    if len(shells) < _FEWEST_SHELLS:
        return None
    needed = 2 * HALF_MAPS / (1 - HALF_MAPS) / signal.ssnr[shells]
    squared = signal.frequency_per_angstrom[shells] ** 2
    slope, intercept = np.polyfit(squared, np.log(needed), 1)
    return 2.0 * float(slope), float(intercept)


def number_by_b_factor(line: Tuple[float, float], resolution: float) -> float:
    """Images for a resolution in Å by the line of `b_factor_line`."""
    factor, intercept = line
    return float(np.exp(intercept + factor / (2 * resolution**2)))
