"""Particles beside the reprojections of a map at their poses, in NumPy, for visual inspection only."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
from scipy import ndimage

from ..conventions import centre
from ..errors import InputError
from ..fourier.ctf import ctf_values, frequency_grid, signal_filter
from ..fourier.filters import gaussian_transfer
from ..fourier.phase_ramp import phase_ramp
from ..fourier.resampling import projected_density
from ..particles.images import ResampledImages
from ..types import ParticleTable, Volume

#: Larger images are binned to this box, so that a figure takes seconds.
LARGEST_BOX_PX = 96
#: Standard deviation of the Gaussian that blurs images for display.
BLUR_PX = 1.5


def project(data: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """(D, D, D) density [z, y, x], (n, 3, 3) rotations -> (n, D, D) sums along the beam, trilinear
    in real space.

    Image(x, y) = sum_z V(A^T (x, y, z)), about voxel D // 2.
    """
    origin = np.full(3, centre(data.shape[0]), dtype=np.float64)
    images = np.empty((len(rotations), *data.shape[1:]))
    for i, rotation in enumerate(rotations):
        matrix = rotation.T[::-1, ::-1]  # the same in the order z, y, x of the array
        turned = ndimage.affine_transform(data, matrix, offset=origin - matrix @ origin, order=1)
        images[i] = turned.sum(axis=0)
    return images


def particles_and_reprojections(
    table: ParticleTable, volume: Volume, rows: np.ndarray
) -> Tuple[np.ndarray, np.ndarray]:
    """Images of these particles, centred, and reprojections of the volume at their poses: (n, D, D)
    twice.

    The reprojections carry the particles' CTF; both are low-passed by the same Gaussian. Raises
    InputError for particles without poses.
    """
    if table.rotations is None or table.shifts_px is None:
        raise InputError(
            "The particles have no poses to reproject the volume at; estimate them first."
        )
    box, pixel = _grid(table, rows)
    images = ResampledImages(table, box, pixel)
    shifts = table.shifts_px[rows] * images.scale[rows, None]
    density = projected_density(volume, box, pixel)
    projections = project(np.asarray(density, dtype=np.float64), table.rotations[rows])
    effect = _ctf_effect(table, rows, box, pixel)
    if effect is not None:
        projections = np.fft.irfft2(np.fft.rfft2(projections) * effect, s=(box, box))
    return low_passed(images.read(rows), shifts), low_passed(projections)


def _grid(table: ParticleTable, rows: np.ndarray) -> Tuple[int, float]:
    """One box and pixel size for all: that of the first particle, binned if it is large."""
    box, pixel = int(table.box_size_px[rows[0]]), float(table.pixel_size_angstrom[rows[0]])
    small = min(box, LARGEST_BOX_PX)
    return small, pixel * box / small


def low_passed(images: np.ndarray, shifts_px: Optional[np.ndarray] = None) -> np.ndarray:
    """(B, D, D) float64 images blurred by a Gaussian of 1.5 px, moved back by their shifts (B, 2)
    in px.
    """
    box = images.shape[-1]
    spectrum = np.fft.rfft2(images) * gaussian_transfer(box, BLUR_PX)
    if shifts_px is not None:
        spectrum = spectrum * phase_ramp(-shifts_px, box)
    return np.fft.irfft2(spectrum, s=(box, box))


def _ctf_effect(
    table: ParticleTable, rows: np.ndarray, box: int, pixel: float
) -> Optional[np.ndarray]:
    """(n, D, D // 2 + 1) what the imaging did to the transform of each projection."""
    if table.ctf is None:
        return None
    ctf = ctf_values(*frequency_grid(box, pixel), table.ctf.take(rows))
    states = [table.optics[i].image_state for i in table.optics_index[rows]]
    return np.stack([signal_filter(values, state) for values, state in zip(ctf, states)])
