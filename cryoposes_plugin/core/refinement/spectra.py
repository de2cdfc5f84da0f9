"""Amplitude of the map in the images and power of the noise, shell by shell, measured on the
images.

With the reprojection m_i = C_i S_i P_i x of particle i at its pose, its own scale s_i, and the
coefficients y_i,

    a = sum s_i Re(m_i* y_i) / sum s_i^2 |m_i|^2,     sigma^2 = typical |y_i - s_i a m_i|^2

over a shell's coefficients.

The amplitude a accounts for the units of the map, its sharpening, and errors of the map and the
poses. Where map and images have nothing in common, a is zero and the shell is not used. So the same
map times 1,000 leads to the same poses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Sequence

import numpy as np
from scipy.stats import chi2

from ..fourier.points import FourierPoints

#: An amplitude is significant if it is this many times its standard error.
_SIGNIFICANT = 3.0
#: Least residual, as a share of the power of the images: interpolation is not more accurate.
_SMALLEST_RESIDUAL = 1e-4
#: Fewer images have no useful median.
_FEWEST_FOR_MEDIAN = 20


@dataclass(frozen=True)
class Spectra:
    """Of one optics group: amplitude and noise_variance (E|N|^2), each (number_of_shells,) float64."""

    amplitude: np.ndarray
    noise_variance: np.ndarray

    @property
    def last_shell(self) -> int:
        """The last shell in which map and images agree; 0 if there is none."""
        shells = np.flatnonzero(self.amplitude > 0)
        return int(shells[-1]) if len(shells) else 0

    def times(self, power: float) -> Spectra:
        """The spectra of images whose grey values have this many times the power."""
        return Spectra(self.amplitude * np.sqrt(power), self.noise_variance * power)

    def up_to(self, last_shell: int) -> Spectra:
        """The same spectra, with zero amplitude beyond a shell."""
        amplitude = self.amplitude.copy()
        amplitude[last_shell + 1 :] = 0.0
        return Spectra(amplitude, self.noise_variance)


class ShellProducts(NamedTuple):
    """Means over the shells of B images, (B, number_of_shells) each: |y|^2, Re(m* y) and |m|^2.

    All that spectra need of images y and reprojections m of unit amplitude, which can therefore be
    made a few at a time.
    """

    image: np.ndarray
    cross: np.ndarray
    model: np.ndarray

    @classmethod
    def of(cls, points: FourierPoints, model: np.ndarray, observed: np.ndarray) -> ShellProducts:
        """Of (B, P) complex reprojections and coefficients."""
        products = [
            [points.shell_means(v) for v in (_squared(y), (m.conj() * y).real, _squared(m))]
            for m, y in zip(model, observed)
        ]
        return cls(*np.moveaxis(np.array(products), 1, 0))

    @classmethod
    def joined(cls, parts: Sequence[ShellProducts]) -> ShellProducts:
        """Those of all images, from parts one after the other."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts)))


def fitted_spectra(
    points: FourierPoints, products: ShellProducts, scale: np.ndarray, right: np.ndarray
) -> Spectra:
    """Spectra of B images: the least-squares amplitude, zero where it is not significant, and the
    noise that it leaves.

    The noise of a shell is the median over the images, corrected for the difference of median and
    mean of chi-square. Images that keep clearly more power than that where the signal is, because
    they show something else besides, are left out of it.

    Parameters
    ----------
    points : of the images.
    products : of the images with their reprojections.
    scale : (B,) of the signal of each image.
    right : (B,) bool, images that show the map at their poses: these alone determine the amplitude,
        and the noise if they are not few.
    """
    scale = np.where(right, scale, 0.0)
    number = max(int(right.sum()), 1)
    cross, power = scale @ products.cross / number, scale**2 @ products.model / number
    amplitude = np.divide(
        cross, power, out=np.zeros_like(cross), where=power > 1e-12 * max(power.max(), 1e-300)
    )

    image = _typical(products.image, points)
    # |y - s a m|^2; at a wrong pose the signal is left, too.
    signal = scale[:, None] * amplitude
    left = products.image - 2 * signal * products.cross + signal**2 * products.model
    if np.count_nonzero(right) >= _FEWEST_FOR_MEDIAN:
        left = left[right]
    residual = _typical(left, points)
    ordinary = _excess(left, residual, amplitude**2 * power, points) < _SIGNIFICANT
    if 2 * np.count_nonzero(ordinary) >= len(left) >= _FEWEST_FOR_MEDIAN:
        residual = _typical(left[ordinary], points)
    residual = np.maximum(residual, _SMALLEST_RESIDUAL * image)

    weight = 2 * int(right.sum()) * points.shell_counts() * power
    error = np.sqrt(np.divide(residual, weight, out=np.full_like(cross, np.inf), where=weight > 0))
    amplitude = np.where(amplitude > _SIGNIFICANT * error, amplitude, 0.0)
    return Spectra(_contiguous(amplitude), np.where(amplitude > 0, residual, image))


def _squared(values: np.ndarray) -> np.ndarray:
    """|v|^2 of complex values."""
    return values.real**2 + values.imag**2


def _typical(power: np.ndarray, points: FourierPoints) -> np.ndarray:
    """(number_of_shells,) power of noise, from the median over images of (B, number_of_shells)."""
    if len(power) < _FEWEST_FOR_MEDIAN:
        return power.mean(axis=0)
    freedom = 2.0 * np.maximum(points.shell_counts(), 1)
    return np.median(power, axis=0) * freedom / chi2.median(freedom)


def _excess(
    left: np.ndarray, noise: np.ndarray, signal: np.ndarray, points: FourierPoints
) -> np.ndarray:
    """(B,) power that images have beyond noise, where signal is expected, in standard deviations.

    Parameters
    ----------
    left : (B, number_of_shells) power of the images without the signal.
    noise, signal : (number_of_shells,) power.
    points : of the images.
    """
    counts = points.shell_counts()
    weight = counts * signal / np.maximum(signal + noise, 1e-300)
    ratio = left / np.maximum(noise, 1e-300) - 1.0
    deviation = np.sqrt((weight**2 / np.maximum(counts, 1)).sum())
    return ratio @ weight / max(float(deviation), 1e-300)


def _contiguous(amplitude: np.ndarray) -> np.ndarray:
    """Zero from the first of three consecutive zeros on: agreement beyond them is due to chance."""
    silent = amplitude == 0
    silent[0] = False
    run = silent[:-2] & silent[1:-1] & silent[2:]
    if run.any():
        amplitude = amplitude.copy()
        amplitude[int(np.argmax(run)) :] = 0.0
    return amplitude


def first_spectra(points: FourierPoints, observed: np.ndarray, last_shell: int) -> Spectra:
    """Before any pose is known: the images' own power as the noise, and a flat amplitude up to
    `last_shell`.
    """
    power = points.shell_means(sum(map(_squared, observed), np.zeros(len(points))) / len(observed))
    return Spectra(np.ones(points.number_of_shells), power).up_to(last_shell)
