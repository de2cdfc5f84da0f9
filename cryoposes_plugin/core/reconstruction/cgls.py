"""CGLS, and its operator for images y = C S P x with ASTRA's projectors on CUDA.

The iteration does not depend on the projector. Images are streamed, so that memory never holds the
whole data.
"""

from __future__ import annotations

from typing import Callable, Iterator, Optional, Protocol, Tuple

import numpy as np
from scipy import fft

from ..errors import ResourceError
from ..fourier.ctf import ctf_values, frequency_grid, signal_filter
from ..fourier.phase_ramp import phase_ramp
from ..geometry.symmetry import symmetry_rotations
from ..imaging.astra_projector import projection_vectors, require_cuda
from .particles import ReconstructionParticles


class NormalOperator(Protocol):
    """A linear operator A and data b, through the products that the normal equations need."""

    def right_hand_side(self) -> np.ndarray:
        """A^T b."""

    def normal(self, x: np.ndarray) -> Tuple[np.ndarray, float]:
        """A^T A x and |A x|^2."""


def cgls(
    operator: NormalOperator,
    iterations: int,
    tolerance: float = 1e-7,
    on_iteration: Optional[Callable[[int, float], None]] = None,
) -> np.ndarray:
    """Minimise |A x - b|^2 from x = 0 by conjugate gradients on the normal equations (Hestenes &
    Stiefel 1952).

    The number of iterations acts as the regularisation. The iteration stops early once |A^T (b - A
    x)| has fallen by `tolerance`. `on_iteration(k, relative gradient)` is called after each.

    Parameters
    ----------
    operator : gives A^T A x and A^T b.
    iterations : at most.
    tolerance : by which the gradient must have fallen.
    on_iteration : called with k and the gradient relative to the first.
    """
    gradient = np.array(operator.right_hand_side())
    x = np.zeros_like(gradient)
    direction = gradient.copy()
    first = norm = float(np.vdot(gradient, gradient))
    for k in range(1, iterations + 1):
        if norm <= tolerance**2 * first:
            break
        product, curvature = operator.normal(direction)
        step = norm / curvature
        x += step * direction
        gradient -= step * product
        norm, previous = float(np.vdot(gradient, gradient)), norm
        direction = gradient + (norm / previous) * direction
        if on_iteration is not None:
            on_iteration(k, float(np.sqrt(norm / first)))

    return x


def require_astra() -> None:
    """ResourceError unless ASTRA is installed and finds a CUDA device."""
    try:
        require_cuda()
    except ResourceError as error:
        raise ResourceError(
            "Method 'cgls' needs the package astra-toolbox and a CUDA device, and they are not "
            "both here; choose the method 'fourier', which needs neither."
        ) from error


class Projector(Protocol):
    """The projector P of many images at once, and its adjoint; rotations A are (B, 3, 3)."""

    def project(self, volume: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """(D, D, D) -> (B, D, D) float32 sums along the beam."""

    def back_project(self, images: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """(B, D, D) -> (D, D, D) float32."""


class AstraProjections:
    """ASTRA's parallel projector, and its voxel-driven back projector for the adjoint;
    ResourceError without CUDA.
    """

    def __init__(self) -> None:
        require_astra()

    def project(self, volume: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        import astra

        volume = np.ascontiguousarray(volume, dtype=np.float32)
        geometry, grid = _geometries(rotations, volume.shape[0])
        identifier, sinogram = astra.create_sino3d_gpu(volume, geometry, grid)
        astra.data3d.delete(identifier)
        # ASTRA's order is (row y, image, column x).
        return np.swapaxes(sinogram, 0, 1)

    def back_project(self, images: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        import astra

        sinogram = np.ascontiguousarray(np.swapaxes(images, 0, 1), dtype=np.float32)
        geometry, grid = _geometries(rotations, images.shape[1])
        identifier, volume = astra.create_backprojection3d_gpu(sinogram, geometry, grid)
        astra.data3d.delete(identifier)
        return volume


def _geometries(rotations: np.ndarray, box: int) -> Tuple[dict, dict]:
    import astra

    vectors = projection_vectors(rotations, box)
    return astra.create_proj_geom("parallel3d_vec", box, box, vectors), astra.create_vol_geom(
        box, box, box
    )


class ImagingOperator:
    """y = C S P x of particles and of their equivalents under a point group.

    Parameters
    ----------
    particles, rows : the particles, and (n,) the rows of those in use.
    symmetry : point group.
    batch_size : number of images that are processed together.
    projector : P and its adjoint; C and S are applied in Fourier space.
    """

    def __init__(
        self,
        particles: ReconstructionParticles,
        rows: np.ndarray,
        symmetry: str,
        batch_size: int,
        projector: Projector,
    ):
        self.particles, self.rows = particles, rows
        self.batch_size, self.projector = batch_size, projector
        self._group = symmetry_rotations(symmetry)

    def right_hand_side(self) -> np.ndarray:
        total = np.zeros((self.particles.box_size_px,) * 3, dtype=np.float32)
        for rows in self._batches():
            images = _filtered(self.particles.images.read(rows), self._transfer(rows).conj())
            for g in self._group:
                total += self.projector.back_project(images, self.particles.rotations[rows] @ g)
        return total

    def normal(self, x: np.ndarray) -> Tuple[np.ndarray, float]:
        total, squared = np.zeros_like(x), 0.0
        for rows in self._batches():
            transfer = self._transfer(rows)
            for g in self._group:
                rotations = self.particles.rotations[rows] @ g
                images = _filtered(self.projector.project(x, rotations), transfer)
                squared += float(np.vdot(images, images))
                total += self.projector.back_project(_filtered(images, transfer.conj()), rotations)
        return total, squared

    def _batches(self) -> Iterator[np.ndarray]:
        groups = self.particles.table.optics_index[self.rows]
        for group in np.unique(groups):
            mine = self.rows[groups == group]
            for start in range(0, len(mine), self.batch_size):
                yield mine[start : start + self.batch_size]

    def _transfer(self, rows: np.ndarray) -> np.ndarray:
        """(B, D, D // 2 + 1) complex64: the factor of shift and CTF on the `rfft2` of projections."""
        particles, table = self.particles, self.particles.table
        transfer = phase_ramp(particles.shifts_px[rows], particles.box_size_px)
        if table.ctf is not None:
            x, y = frequency_grid(particles.box_size_px, particles.pixel_size_angstrom)
            state = table.optics[table.optics_index[rows[0]]].image_state
            transfer *= signal_filter(ctf_values(x, y, table.ctf.take(rows)), state)
        return transfer.astype(np.complex64)


def _filtered(images: np.ndarray, transfer: np.ndarray) -> np.ndarray:
    """(B, D, D) float32 images, multiplied in Fourier space by (B, D, D // 2 + 1) factors."""
    return fft.irfft2(fft.rfft2(images) * transfer, s=images.shape[1:])
