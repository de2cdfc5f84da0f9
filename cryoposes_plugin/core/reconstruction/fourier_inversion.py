"""Direct Fourier inversion: slices are inserted into a padded Fourier volume, which is divided by
the weights and transformed back.

With y_i = C_i P_i x + n_i and white noise, the estimate at each Fourier voxel is sum_i C_i y_i /
(sum_i C_i^2 + term), with sums over all samples, weighted by the trilinear kernel (Scheres 2012,
eq. 3, for one class and known poses). The term comes from a Gaussian prior (`wiener_term`). It is
small, so the maps are neither filtered nor sharpened. Density weights, padding, and division by the
kernel's transform sinc^2 undo the interpolation.
"""

from __future__ import annotations

import copy

import numpy as np
from scipy import fft, sparse

from ..fourier.gridding import interpolation_kernel
from ..fourier.masks import soft_sphere
from ..fourier.shells import shell_means, whole_frequencies
from ..fourier.slices import SliceSampler
from ..geometry.symmetry import symmetry_rotations
from .symmetry_on_grid import split_group, symmetrised

#: Spectral signal-to-noise ratio that the prior assumes for the mean voxel of every shell.
PRIOR_SSNR = 30.0
_SAMPLES_PER_CHUNK = 2**20
_SAMPLES_PER_BLOCK = 2**15
_CORNERS = tuple((z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1))


class FourierGrid:
    """Sums over Fourier samples on the half space x >= 0 of a grid `padding` times finer than that
    of the images.

    Every sample stands for itself, its Friedel mate and its equivalents under the point group.
    Operations of the group that map the grid onto itself are applied exactly to the sums. For the
    other operations, the slice is inserted again.

    Memory: about 6 (padding D)^3 bytes.
    """

    def __init__(self, box_size_px: int, padding: int = 2, symmetry: str = "C1"):
        self.box_size_px, self.padding = box_size_px, padding
        self.radius = padding * box_size_px // 2
        self._on_grid, self._inserted = split_group(symmetry_rotations(symmetry))
        # One more node on every side, as the kernel of a sample reaches the next node: x from -1, y
        # and z from -R - 1.
        side = 2 * self.radius + 3
        self.shape = (side, side, self.radius + 3)
        self.sums = np.zeros((3, side * side * (self.radius + 3)), dtype=np.float32)

    def insert(
        self,
        numerator: np.ndarray,
        weight: np.ndarray,
        rotations: np.ndarray,
        sampler: SliceSampler,
    ) -> None:
        """Add slices (B, n) complex64 and their weights (B, n) float32 at the rotations A (B, 3,
        3).

        The sample k = (kx, ky) of an image lies at A^T (kx, ky, 0) in the volume's frame. Both are
        multiplied by the sampler's density weights, which change the ratio of the sums only through
        variations within the kernel.

        Parameters
        ----------
        numerator : (B, n) complex64, CTF-weighted samples of the images.
        weight : (B, n) float32, their weights.
        rotations : (B, 3, 3).
        sampler : the samples' frequencies and density weights.
        """
        values = np.stack([numerator.real, numerator.imag, weight]) * sampler.density_weight
        step = max(1, _SAMPLES_PER_CHUNK // len(sampler))
        for g in self._inserted:
            axes = (self.padding * (rotations @ g)[:, :2]).astype(np.float32)
            for start in range(0, len(rotations), step):
                chunk = slice(start, start + step)
                self._insert(values[:, chunk].reshape(3, -1), axes[chunk], sampler)

    def _insert(self, values: np.ndarray, axes: np.ndarray, sampler: SliceSampler) -> None:
        """values (3, B n): real, imaginary, weight; axes (B, 2, 3): x and y of the images in the
        volume's frame.
        """
        n, number = len(sampler), values.shape[1]
        nodes = np.empty((number, 8), dtype=np.int32 if self.sums.shape[1] < 2**31 else np.int64)
        kernel = np.empty((number, 8), dtype=np.float32)
        imaginary = values[1].copy()
        plane = np.stack([sampler.kx, sampler.ky], axis=1)
        step = max(1, _SAMPLES_PER_BLOCK // n)
        for start in range(0, len(axes), step):
            points = np.matmul(plane, axes[start : start + step]).reshape(-1, 3).T
            block = slice(start * n, start * n + points.shape[1])
            # Of a sample and its mate, the one on the half space is inserted.
            sign = np.where(points[0] < 0, np.float32(-1), np.float32(1))
            imaginary[block] *= sign
            self._spread(points * sign, nodes[block], kernel[block])

        columns = np.arange(0, nodes.size + 1, 8, dtype=nodes.dtype)
        shape = (self.sums.shape[1], number)
        matrix = sparse.csc_matrix(
            (kernel.ravel(), nodes.ravel(), columns), shape=shape, copy=False
        )
        for total, part in zip(self.sums, (values[0], imaginary, values[2])):
            total += matrix @ part

    def _spread(self, points: np.ndarray, nodes: np.ndarray, kernel: np.ndarray) -> None:
        """The eight nodes around each point (3, m) and their trilinear weights, into (m, 8) each."""
        x, y, z = points
        floor = np.floor(points)
        fx, fy, fz = points - floor
        ix, iy, iz = floor.astype(nodes.dtype)
        origin = self.radius + 1
        base = ((iz + origin) * self.shape[1] + iy + origin) * self.shape[2] + ix + 1
        one = np.float32(1)
        for column, (dz, dy, dx) in enumerate(_CORNERS):
            nodes[:, column] = base + ((dz * self.shape[1] + dy) * self.shape[2] + dx)
            if dx == 0:
                outer = (fz if dz else one - fz) * (fy if dy else one - fy)
                upper = outer * fx
                kernel[:, column] = outer - upper
            else:
                kernel[:, column] = upper

    def folded(self) -> np.ndarray:
        """(3, 2R+1, 2R+1, R+1) float32 [z, y, x], y and z from -R, x from 0: real part, imaginary
        part, weight.

        The sums at x = -1 are added to their mates at x = 1, and the plane x = 0 is made Hermitian.
        """
        conjugate = np.array([1, -1, 1], dtype=np.float32)[:, None, None]
        sums = self.sums.reshape((3, *self.shape))
        inner = sums[:, 1:-1, 1:-1, 1:-1].copy()
        mates = sums[:, ::-1, ::-1, :2] * conjugate[..., None]
        inner[..., 1] += mates[:, 1:-1, 1:-1, 0]
        inner[..., 0] += mates[:, 1:-1, 1:-1, 1]
        return symmetrised(inner, self._on_grid)


class Inversion:
    """Inversion of the sums of a grid: division and inverse transform."""

    def __init__(self, grid: FourierGrid):
        self.box_size_px, self.padding = grid.box_size_px, grid.padding
        size = self.padding * self.box_size_px
        real, imaginary, self.weight = np.fft.ifftshift(grid.folded()[:, :size, :size], axes=(1, 2))
        self.numerator = real + 1j * imaginary
        squared = ((whole_frequencies(size) / self.padding) ** 2).astype(np.float32)
        along_x = squared[: size // 2 + 1]
        radius = np.sqrt(squared[:, None, None] + squared[None, :, None] + along_x)
        # Nodes at and beyond the images' Nyquist sphere lack samples on their outer side.
        self._inside = radius < self.box_size_px / 2
        self._shell = np.minimum(np.rint(radius).astype(np.intp), self.box_size_px // 2)

    def merged(self, other: Inversion) -> Inversion:
        """The inversion of both sets of images together."""
        both = copy.copy(self)
        both.numerator = self.numerator + other.numerator
        both.weight = self.weight + other.weight
        return both

    def wiener_term(self) -> np.ndarray:
        """(D // 2 + 1,) what is added to the weights of each shell: their mean over the shell, over
        `PRIOR_SSNR`.

        If the mean voxel of a shell has the spectral signal-to-noise ratio s, the prior variance of
        its coefficients is s / (mean weight) in units of the noise (Scheres 2012, eq. 4 and 5). One
        s for all shells, with `volume` scaling the mean voxel back, leaves the spectrum as it is;
        voxels that the images hardly saw tend to zero.
        """
        shells = self._shell[self._inside]
        means = shell_means(self.weight[self._inside], shells, self.box_size_px // 2 + 1)
        return means / PRIOR_SSNR

    def volume(self, workers: int = 1) -> np.ndarray:
        """(D, D, D) float32 density, zero outside the sphere of radius D / 2, where not all images
        show a voxel.
        """
        weight = (self.weight + self.wiener_term().astype(np.float32)[self._shell]) / np.float32(
            1 + 1 / PRIOR_SSNR
        )
        estimate = np.zeros_like(self.numerator)
        np.divide(self.numerator, weight, out=estimate, where=self._inside & (weight > 0))
        size = self.padding * self.box_size_px
        padded = fft.irfftn(estimate, s=(size,) * 3, workers=workers)
        position = np.arange(self.box_size_px) - self.box_size_px // 2
        box = padded[np.ix_(position % size, position % size, position % size)]
        box /= interpolation_kernel(self.box_size_px, size).astype(np.float32)
        return box * soft_sphere(self.box_size_px, self.box_size_px / 2, edge_px=3.0)
