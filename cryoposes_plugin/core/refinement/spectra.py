"""Amplitude of the map in the images and power of the noise, shell by shell, measured on the
images.

With the reprojection m_i = C_i S_i P_i x of particle i at its pose, its own scale s_i, and the
coefficients y_i,

    a = sum s_i Re(m_i* y_i) / sum s_i^2 |m_i|^2,     sigma^2 = mean |y_i - s_i a m_i|^2

over a shell's coefficients.

The amplitude a accounts for the units of the map, its sharpening, and errors of the map and the
poses. Where map and images have nothing in common, a is zero and the shell is not used. So the same
map times 1,000 leads to the same poses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..fourier.points import FourierPoints

#: An amplitude is significant if it is this many times its standard error.
_SIGNIFICANT = 3.0
#: Least residual, as a share of the power of the images: interpolation is not more accurate.
_SMALLEST_RESIDUAL = 1e-4


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


class SpectraSums:
    """Sums over particles from which the spectra follow; pieces can be added in any order."""

    def __init__(self, points: FourierPoints):
        self.points = points
        self.cross, self.model_power, self.image_power = (np.zeros(len(points)) for _ in range(3))
        self.number = 0

    def add(self, model: np.ndarray, observed: np.ndarray, scale: np.ndarray) -> None:
        """Reprojections (B, P) and coefficients (B, P), complex; scale (B,) of each particle."""
        self.cross += np.einsum("b,bp->p", scale, (model.conj() * observed).real)
        self.model_power += np.einsum("b,bp->p", scale**2, np.abs(model) ** 2)
        self.image_power += (np.abs(observed) ** 2).sum(axis=0)
        self.number += len(scale)

    def spectra(self) -> Spectra:
        """The least-squares amplitude, zero where it is not significant, and the mean power of what
        it leaves.
        """
        points = self.points
        cross, model, image = (
            points.shell_means(v) / max(self.number, 1)
            for v in (self.cross, self.model_power, self.image_power)
        )
        amplitude = np.divide(
            cross, model, out=np.zeros_like(cross), where=model > 1e-12 * model.max()
        )

        residual = np.maximum(image - amplitude * cross, _SMALLEST_RESIDUAL * image)
        count = self.number * points.shell_counts()
        error = np.sqrt(
            np.divide(
                residual,
                2 * count * model,
                out=np.full_like(cross, np.inf),
                where=count * model > 0,
            )
        )

        amplitude = np.where(amplitude > _SIGNIFICANT * error, amplitude, 0.0)
        return Spectra(_contiguous(amplitude), np.where(amplitude > 0, residual, image))


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
    power = points.shell_means((np.abs(observed) ** 2).mean(axis=0))
    return Spectra(np.ones(points.number_of_shells), power).up_to(last_shell)
