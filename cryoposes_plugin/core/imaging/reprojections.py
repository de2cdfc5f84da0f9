"""Some particles beside the reprojections of a map at their poses, in NumPy alone: for the eye, not to measure."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
from scipy import ndimage

from ..conventions import centre
from ..errors import InputError
from ..fourier.resampling import projected_density
from ..particles.images import ResampledImages
from ..types import ParticleTable, Volume
from .ctf import ctf_values, frequency_grid, signal_filter

#: Larger images are binned to this box, so that a figure takes seconds.
LARGEST_BOX_PX = 96
_BLUR_PX = 1.5


def project(data: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """(D, D, D) density [z, y, x], (n, 3, 3) rotations -> (n, D, D) sums along the beam, trilinear in real space.

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
    """Images of these particles, centred, and reprojections of the volume at their poses: (n, D, D) twice.

    The reprojections carry the particles' CTF; both are low-passed by the same Gaussian. Raises InputError for
    particles without poses.
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
    blur = _gaussian(box)
    shown = np.fft.rfft2(images.read(rows)) * blur * _shift_back(shifts, box)
    projected = np.fft.rfft2(projections) * blur
    effect = _ctf_effect(table, rows, box, pixel)
    if effect is not None:
        projected = projected * effect
    return np.fft.irfft2(shown, s=(box, box)), np.fft.irfft2(projected, s=(box, box))


def _grid(table: ParticleTable, rows: np.ndarray) -> Tuple[int, float]:
    """One box and pixel size for all: that of the first particle, binned if it is large."""
    box, pixel = int(table.box_size_px[rows[0]]), float(table.pixel_size_angstrom[rows[0]])
    small = min(box, LARGEST_BOX_PX)
    return small, pixel * box / small


def _gaussian(box: int) -> np.ndarray:
    ky, kx = np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)
    return np.exp(-2 * (np.pi * _BLUR_PX) ** 2 * (kx**2 + ky**2))


def _shift_back(shifts_px: np.ndarray, box: int) -> np.ndarray:
    ky, kx = np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)
    return np.exp(
        2j * np.pi * (shifts_px[:, 0, None, None] * kx + shifts_px[:, 1, None, None] * ky)
    )


def _ctf_effect(
    table: ParticleTable, rows: np.ndarray, box: int, pixel: float
) -> Optional[np.ndarray]:
    """(n, D, D // 2 + 1) what the imaging did to the transform of each projection."""
    if table.ctf is None:
        return None
    ctf = ctf_values(*frequency_grid(box, pixel), table.ctf.take(rows))
    states = [table.optics[i].image_state for i in table.optics_index[rows]]
    return np.stack([signal_filter(values, state) for values, state in zip(ctf, states)])
