"""Frequencies of an image's transform: the half plane of `rfft2`, and its points ordered by
resolution.
"""

from __future__ import annotations

from typing import Iterator, Tuple

import numpy as np
import scipy.fft

from .shells import shell_counts, shell_means, whole_frequencies

#: Coefficients of the images that are worked on at once: all temporary arrays together then stay
#: within some hundred megabytes.
_COEFFICIENTS_AT_ONCE = 2**21


def half_plane(box_size_px: int) -> Tuple[np.ndarray, np.ndarray]:
    """(kx, ky), each (D, D // 2 + 1) int64, in cycles per box, of the coefficients of `rfft2`."""
    kx, ky = np.meshgrid(np.arange(box_size_px // 2 + 1), whole_frequencies(box_size_px))
    return kx, ky


def origin_signs(frequencies: np.ndarray) -> np.ndarray:
    """(-1)^(kx + ky) float32 of (P, 2) whole frequencies: moves an even image's origin to D // 2."""
    return (1.0 - 2.0 * (frequencies.sum(axis=1) % 2)).astype(np.float32)


class FourierPoints:
    """Points (kx, ky) of half the plane, 0 < |k| < D / 2, in cycles per box, ascending in |k|.

    Of k and -k only one is kept, and the mean of the image is left out; each coefficient then
    stands for two real numbers with independent noise. A prefix of the points is a low-passed
    image.

    Attributes
    ----------
    frequencies : (P, 2) float32. radius : (P,) float64, |k|. shell : (P,) the nearest integer to
        |k|.
    number_of_shells : D // 2 + 1.
    images_at_once : of how many images the coefficients are worked on at once.
    """

    def __init__(self, box_size_px: int):
        self.box_size_px = box_size_px
        kx, ky = half_plane(box_size_px)
        squared = kx**2 + ky**2
        kept = (squared < (box_size_px / 2) ** 2) & ((kx > 0) | (ky > 0))
        order = np.argsort(squared[kept], kind="stable")

        self._pixels = np.flatnonzero(kept)[order]
        self.frequencies = np.stack([kx[kept], ky[kept]], axis=1)[order].astype(np.float32)
        self.radius = np.sqrt(squared[kept][order])
        self.shell = np.rint(self.radius).astype(np.intp)
        self.number_of_shells = box_size_px // 2 + 1
        self._signs = origin_signs(self.frequencies)

    @property
    def images_at_once(self) -> int:
        return max(1, _COEFFICIENTS_AT_ONCE // len(self.shell))

    def parts(self, number: int) -> Iterator[slice]:
        """Of so many images, as many as are worked on at once."""
        size = self.images_at_once
        return (slice(first, first + size) for first in range(0, number, size))

    def __len__(self) -> int:
        return len(self.shell)

    def within(self, radius: float) -> int:
        """How many points have |k| <= radius."""
        return int(np.searchsorted(self.radius, radius, side="right"))

    def transform(self, images: np.ndarray) -> np.ndarray:
        """(B, D, D) images -> (B, P) complex64 coefficients, phases about pixel D // 2."""
        spectrum = scipy.fft.rfft2(np.asarray(images, dtype=np.float32)).reshape(len(images), -1)
        return spectrum[:, self._pixels] * self._signs

    def images(self, coefficients: np.ndarray) -> np.ndarray:
        """(B, P) coefficients -> (B, D, D) float32 images of mean 0: the inverse of `transform`."""
        box = self.box_size_px
        plane = np.zeros((len(coefficients), box * (box // 2 + 1)), np.complex64)
        plane[:, self._pixels] = coefficients * self._signs
        plane = plane.reshape(-1, box, box // 2 + 1)
        # The column kx = 0 holds both k and -k, of which one is given.
        column = plane[:, :, 0]
        mirrored = column[:, -np.arange(box)].conj()
        plane[:, :, 0] = np.where(column != 0, column, mirrored)
        return scipy.fft.irfft2(plane, s=(box, box))

    def phases(self, shifts_px: np.ndarray) -> np.ndarray:
        """(B, P) complex64 exp(-2 pi i k.t / D): what displacements t (B, 2) do to coefficients."""
        reach = self.box_size_px // 2
        angle = (-2 * np.pi / self.box_size_px) * np.arange(-reach, reach + 1)
        along_x, along_y = (
            np.exp(1j * np.asarray(shifts, np.float64)[:, None] * angle).astype(np.complex64)
            for shifts in shifts_px.T
        )
        kx, ky = reach + self.frequencies.T.astype(np.intp)
        return along_x[:, kx] * along_y[:, ky]

    def shell_means(self, values: np.ndarray) -> np.ndarray:
        """(P,) -> (number_of_shells,) means over the shells; 0 where a shell is empty."""
        return shell_means(values, self.shell, self.number_of_shells)

    def shell_counts(self) -> np.ndarray:
        """(number_of_shells,) how many points each shell holds."""
        return shell_counts(self.shell, self.number_of_shells)
