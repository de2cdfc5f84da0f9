"""Direct Fourier inversion: slices are inserted into a padded Fourier volume, which is divided by
the weights and transformed back.

With y_i = C_i P_i x + n_i and white noise, the estimate at each Fourier voxel is sum_i C_i y_i /
(sum_i C_i^2 + term), with sums over all samples, weighted by the trilinear kernel (Scheres 2012,
eq. 3, for one class and known poses). The term comes from a Gaussian prior (`wiener_term`). It is
small, so the maps are neither filtered nor sharpened. Density weights, padding, and division by the
kernel's transform sinc^2 undo the interpolation.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import IO

import numpy as np
from scipy import fft

from ..fourier.gridding import kernel_along_axis
from ..fourier.masks import falling_edge
from ..fourier.slices import SliceSampler
from ..geometry.subgroups import operations
from .half_sphere import (
    estimate,
    line_starts,
    make_hermitian,
    shell_weights,
    spread,
    symmetrise,
)
from .symmetry_on_grid import split_group

#: Spectral signal-to-noise ratio that the prior assumes for the mean voxel of every shell.
PRIOR_SSNR = 30.0
#: Width in voxels of the edge of the sphere in which the map lies.
_EDGE_PX = 3.0
#: The factor on the weights that leaves the mean voxel of a shell as it is, see `wiener_term`.
_SCALE = 1 + 1 / PRIOR_SSNR
#: Numbers that are read at once.
_AT_ONCE = 2**22
#: Columns along x that are transformed together.
_COLUMNS = 64


class FourierGrid:
    """Sums over Fourier samples on the half space x >= 0 of a grid `padding` times finer than that
    of the images, within the sphere of their Nyquist frequency.

    Every sample stands for itself, its Friedel mate and its equivalents under the point group.
    Operations of the group that map the grid onto itself are applied exactly to the sums, by
    `Inversion`. For the other operations, the slice is inserted again.

    Memory: about 3.2 (padding D)^3 bytes.

    Attributes
    ----------
    sums : (nodes, 3) float32, see `half_sphere`.
    """

    def __init__(self, box_size_px: int, padding: int = 2, symmetry: str = "C1"):
        self.box_size_px, self.padding, self.symmetry = box_size_px, padding, symmetry
        self.on_grid, self._inserted = split_group(operations(symmetry))
        self.starts, number = line_starts(padding * box_size_px / 2)
        self.sums = np.zeros((number, 3), dtype=np.float32)

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
        plane = np.stack([sampler.kx, sampler.ky])
        numerator = np.ascontiguousarray(numerator, np.complex64)
        weight = np.ascontiguousarray(weight, np.float32)
        for g in self._inserted:
            axes = np.ascontiguousarray(self.padding * (rotations @ g)[:, :2], np.float32)
            spread(self.sums, self.starts, plane, sampler.density_weight, axes, numerator, weight)

    def add(self, other: FourierGrid) -> None:
        """Add the sums of other images on the same grid."""
        self.sums += other.sums


class Inversion:
    """Inversion of the sums of a grid: division and inverse transform.

    The grid is used up: its sums are made Hermitian and symmetric in place.
    """

    def __init__(self, grid: FourierGrid):
        self.box_size_px, self.padding = grid.box_size_px, grid.padding
        self.starts, self.sums = grid.starts, grid.sums
        self._radius = self.padding * self.box_size_px // 2
        make_hermitian(self.sums, self.starts)
        if len(grid.on_grid) > 1:
            group = np.rint(grid.on_grid).astype(np.int64)
            symmetrise(self.sums, self.starts, group, self._radius)

    def add(self, other: Inversion) -> None:
        """Make it the inversion of both sets of images together."""
        self.sums += other.sums

    def save(self, handle: IO[bytes]) -> None:
        """Write the sums into an open file."""
        self.sums.tofile(handle)

    def add_saved(self, handle: IO[bytes]) -> None:
        """Add sums that `save` wrote, from the handle's position on."""
        flat = self.sums.reshape(-1)
        for start in range(0, len(flat), _AT_ONCE):
            part = flat[start : start + _AT_ONCE]
            part += np.fromfile(handle, np.float32, len(part))

    def wiener_term(self) -> np.ndarray:
        """(D // 2 + 1,) what is added to the weights of each shell: their mean over the shell, over
        `PRIOR_SSNR`.

        If the mean voxel of a shell has the spectral signal-to-noise ratio s, the prior variance of
        its coefficients is s / (mean weight) in units of the noise (Scheres 2012, eq. 4 and 5). One
        s for all shells, with `volume` scaling the mean voxel back, leaves the spectrum as it is;
        voxels that the images hardly saw tend to zero.
        """
        sums = shell_weights(self.sums, self.starts, self._radius, self.padding)
        sums = sums[: self.box_size_px // 2 + 1]
        return sums[:, 0] / np.maximum(sums[:, 1], 1) / PRIOR_SSNR

    def volume(self, workers: int = 1) -> np.ndarray:
        """(D, D, D) float32 density, zero outside the sphere of radius D / 2, where not all images
        show a voxel.

        Nodes at and beyond the images' Nyquist sphere lack samples on their outer side, and are
        left out. Each axis is cut to the box once it is transformed, and the first two axes are
        transformed for some columns at a time.
        """
        box, radius = self.box_size_px, self._radius
        size, terms = self.padding * box, self.wiener_term().astype(np.float32)
        position = np.arange(box) - box // 2
        taken = position % size
        along = kernel_along_axis(box, size).astype(np.float32)
        columns = np.empty((box, box, radius), np.complex64)
        lines = np.zeros((box, size, min(_COLUMNS, radius)), np.complex64)
        volume = np.empty((box, box, box), np.float32)

        def along_z(first: int, number: int, y: int) -> None:
            plane = np.empty((size, number), np.complex64)
            estimate(self.sums, self.starts, radius, y, first, terms, _SCALE, self.padding, plane)
            lines[:, y % size, :number] = fft.ifft(plane, axis=0, overwrite_x=True)[taken]

        def along_y(first: int, number: int, z: int) -> None:
            found = fft.ifft(lines[z, :, :number], axis=0)
            columns[z, :, first : first + number] = found[taken]

        def along_x(z: int) -> None:
            rows = fft.irfft(columns[z], n=size, axis=1)[:, taken]
            distance = np.sqrt(position[z] ** 2 + position[:, None] ** 2 + position**2)
            edge = falling_edge((distance - box / 2) / _EDGE_PX).astype(np.float32)
            volume[z] = rows / (along[z] * along[:, None] * along) * edge

        with ThreadPoolExecutor(max_workers=workers) as pool:
            for first in range(0, radius, _COLUMNS):
                number = min(_COLUMNS, radius - first)
                list(pool.map(partial(along_z, first, number), range(-radius + 1, radius)))
                list(pool.map(partial(along_y, first, number), range(box)))
            list(pool.map(along_x, range(box)))
        return volume
