"""Central slices: the Fourier samples of images, centred, shift undone, weighted by the CTF."""

from __future__ import annotations

import math
from typing import Optional, Tuple

import numpy as np
from scipy import fft

from ..conventions import centre
from ..errors import InputError
from .phase_ramp import line_phases
from .points import half_plane

#: Below this frequency a slice is sampled twice as finely: there the rings |k| = 1, 2, 3, ... of
#: whole frequencies leave gaps in the padded volume, which the interpolation would fill from one
#: side.
FINE_RADIUS_PX = 6
#: Weight of the zero frequency, where the ramp has its minimum: the mean of |k| over the cell of a
#: fine sample, nearly.
_SMALLEST_RAMP = 0.25


class SliceSampler:
    """Takes independent Fourier samples of D x D images out of half a disk.

    Samples are at frequencies k = (kx, ky) in units of 1 / (D pixels), |k| < `radius_px`, of each
    pair k, -k one only (kx > 0, or kx = 0 and ky >= 0): whole numbers, and halves too below
    `FINE_RADIUS_PX`. `radius_px` is at most D / 2: the corners beyond the Nyquist sphere, and the
    unpaired Nyquist row, are cut.

    Attributes
    ----------
    kx, ky : (n,) float32.
    density_weight : (n,) float32, the area of a sample's cell times |k|. Slices through the origin
        are dense as 1 / |k|; with this weight the samples around a node count alike (the ramp of
        weighted back projection).
    """

    def __init__(self, box_size_px: int, radius_px: Optional[float] = None):
        self.box_size_px = box_size_px
        self.radius_px = min(box_size_px / 2, box_size_px / 2 if radius_px is None else radius_px)
        fine_radius = min(FINE_RADIUS_PX, self.radius_px)
        kx, ky = half_plane(box_size_px)
        coarse = _half_disk(kx, ky, fine_radius, self.radius_px)
        self._coarse = np.flatnonzero(coarse)
        halves = np.arange(-math.ceil(2 * fine_radius), math.ceil(2 * fine_radius) + 1) / 2
        self._fine_x, self._fine_y = halves[halves >= 0], halves
        fx, fy = np.meshgrid(self._fine_x, self._fine_y, indexing="ij")

        fine = _half_disk(fx, fy, 0, fine_radius)
        self._fine = np.flatnonzero(fine)
        self.kx = np.concatenate([kx[coarse], fx[fine]]).astype(np.float32)
        self.ky = np.concatenate([ky[coarse], fy[fine]]).astype(np.float32)
        cell = np.concatenate([np.ones(len(self._coarse)), np.full(len(self._fine), 0.25)])
        self.density_weight = (
            cell * np.maximum(np.hypot(self.kx, self.ky), _SMALLEST_RAMP)
        ).astype(np.float32)

    def __len__(self) -> int:
        return len(self.kx)

    def frequencies(self, pixel_size_angstrom: float) -> Tuple[np.ndarray, np.ndarray]:
        """(n,) x and y spatial frequencies of the samples, 1/Å, float32."""
        step = np.float32(1.0 / (self.box_size_px * pixel_size_angstrom))
        return self.kx * step, self.ky * step

    def transform(self, images: np.ndarray, shifts_px: np.ndarray) -> np.ndarray:
        """(B, D, D) images of particles displaced by (B, 2) px -> (B, n) complex64, with the
        particle at the origin.

        I^(k) exp(+2 pi i k.(t + D // 2) / D), the inverse of the shift in `conventions`.
        """
        images = np.asarray(images, dtype=np.float32)
        samples = np.empty((len(images), len(self)), dtype=np.complex64)
        coarse = len(self._coarse)
        samples[:, :coarse] = fft.rfft2(images).reshape(len(images), -1)[:, self._coarse]
        samples[:, coarse:] = self._fine_transform(images)
        samples *= self._phases(np.asarray(shifts_px, dtype=np.float64) + centre(self.box_size_px))
        return samples

    def _fine_transform(self, images: np.ndarray) -> np.ndarray:
        """The few fine samples (B, m), summed directly along x and then along y, in real
        arithmetic.
        """
        number, d = images.shape[:2]
        along_x, along_y = (_cosines_and_sines(k, d) for k in (self._fine_x, self._fine_y))
        rows = images.reshape(-1, d) @ along_x
        columns = rows.reshape(number, d, -1).transpose(0, 2, 1).reshape(-1, d) @ along_y
        # Axes: image, cosine or sine in x, kx, cosine or sine in y, ky.
        c = columns.reshape(number, 2, len(self._fine_x), 2, len(self._fine_y))
        values = (c[:, 0, :, 0] - c[:, 1, :, 1]) - 1j * (c[:, 1, :, 0] + c[:, 0, :, 1])
        return values.reshape(number, -1)[:, self._fine]

    def _phases(self, origin_px: np.ndarray) -> np.ndarray:
        """(B, n) complex64 exp(2 pi i k.origin / D), from tables of half frequencies along x and y."""
        d = self.box_size_px
        radians = 2 * np.pi / d * (np.arange(-d, d + 1) / 2)
        tables = [line_phases(-origin_px[:, axis], radians).astype(np.complex64) for axis in (0, 1)]
        columns = [np.rint(2 * k).astype(np.intp) + d for k in (self.kx, self.ky)]
        return tables[0][:, columns[0]] * tables[1][:, columns[1]]


def _half_disk(kx: np.ndarray, ky: np.ndarray, lowest: float, beyond: float) -> np.ndarray:
    squared = kx**2 + ky**2
    return (squared >= lowest**2) & (squared < beyond**2) & ((kx > 0) | (ky >= 0))


def _cosines_and_sines(k: np.ndarray, box_size_px: int) -> np.ndarray:
    """(D, 2 m) float32: cos(2 pi k x / D) for each of m frequencies, then the sines."""
    angles = 2 * np.pi / box_size_px * np.outer(np.arange(box_size_px), k)
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def ctf_weighted(
    samples: np.ndarray, ctf: Optional[np.ndarray], image_state: str
) -> Tuple[np.ndarray, np.ndarray]:
    """What one image adds to the numerator and to the weight of the least-squares estimate of the
    slice.

    Raw images y = C x + n of white n: C y and C^2. Phase-flipped y = |C| x + n: |C| y and C^2.
    Premultiplied y = C (C x + n): y and C^2. Without a CTF: y and 1.

    Parameters
    ----------
    samples : (B, n) complex64. ctf : (B, n) float32 or None. image_state : one of
        `types.IMAGE_STATES`.
    """
    if ctf is None:
        if image_state != "raw":
            raise InputError(
                f"Images are said to be {image_state} and have no CTF; give particles with their "
                "defocus values."
            )
        return samples, np.ones(samples.shape, dtype=np.float32)
    weight = ctf * ctf
    if image_state == "ctf-premultiplied":
        return samples, weight
    return samples * (np.abs(ctf) if image_state == "phase-flipped" else ctf), weight
