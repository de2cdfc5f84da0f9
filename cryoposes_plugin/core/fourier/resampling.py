"""Band-limited change of box and pixel size, exact for any ratio.

Along one axis the samples' trigonometric interpolation, cut at the smaller of the two Nyquist
frequencies and evaluated at the new positions, is a matrix: out = M in. The origin (pixel D // 2)
stays the origin. What lies outside of the old box is taken as zero; amplitudes (densities, grey
values) are kept.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..types import Volume

#: Planes of a map that are resampled along z at once.
_LINES_AT_ONCE = 16


@lru_cache(maxsize=32)
def resampling_matrix(box_in: int, pixel_in: float, box_out: int, pixel_out: float) -> np.ndarray:
    """(box_out, box_in) float64: periodic (Dirichlet) interpolation of box_in samples, cut at the
    new Nyquist.

    Frequencies k / (box_in pixel_in), |k| < box_in / 2, enter whole where they lie below the new
    Nyquist frequency; the unpaired highest one of an even box enters as a cosine.

    Parameters
    ----------
    box_in : number of samples of the input.
    pixel_in : pixel size of the input, in any unit.
    box_out, pixel_out : of the output, in the same unit.
    """
    position_out = (np.arange(box_out) - box_out // 2) * pixel_out
    position_in = (np.arange(box_in) - box_in // 2) * pixel_in
    length = box_in * pixel_in
    k = np.arange(-(box_in // 2), (box_in + 1) // 2)
    frequency = np.abs(k) / length
    nyquist = 0.5 / pixel_out
    weight = np.where(
        frequency < nyquist - 1e-9 * nyquist,
        1.0,
        np.where(frequency <= nyquist * (1 + 1e-9), 0.5, 0.0),
    )
    if pixel_out <= pixel_in * (1 + 1e-9):
        weight[:] = 1.0

    # cos(a - b) = cos a cos b + sin a sin b: two matrix products instead of a cube
    out, inner = (
        2 * np.pi / length * np.outer(position, k) for position in (position_out, position_in)
    )
    matrix = (
        (weight * np.cos(out)) @ np.cos(inner).T + (weight * np.sin(out)) @ np.sin(inner).T
    ) / box_in
    matrix[np.abs(position_out) > length / 2 + 1e-6 * pixel_in] = 0.0
    return matrix


def resample_images(
    images: np.ndarray, pixel_in: float, box_out: int, pixel_out: float
) -> np.ndarray:
    """(B, D, D) -> (B, box_out, box_out) float32; for a wider field of view the mean of an image's
    rim is taken off.

    Parameters
    ----------
    images : (B, D, D).
    pixel_in : pixel size of the input, in any unit.
    box_out, pixel_out : of the output, in the same unit.
    """
    box_in = images.shape[-1]
    if box_in == box_out and np.isclose(pixel_in, pixel_out, rtol=1e-6):
        return np.asarray(images, dtype=np.float32)
    matrix = resampling_matrix(box_in, float(pixel_in), box_out, float(pixel_out)).astype(
        np.float32
    )
    images = np.asarray(images, dtype=np.float32)
    if box_out * pixel_out > box_in * pixel_in * (1 + 1e-6):
        images = images - _rim_mean(images)
    return np.matmul(np.matmul(matrix, images), matrix.T)


def _rim_mean(images: np.ndarray) -> np.ndarray:
    """(B, 1, 1) float32 mean over the outermost pixels of each image."""
    rows, columns = images[:, [0, -1]], images[:, 1:-1, [0, -1]]
    rim = np.concatenate([part.reshape(len(images), -1) for part in (rows, columns)], axis=1)
    return rim.mean(axis=1, dtype=np.float64).astype(np.float32)[:, None, None]


def projected_density(volume: Volume, box_out: int, pixel_out: float) -> np.ndarray:
    """(box_out, box_out, box_out) float32: the density above that of the solvent, on a grid that it
    is projected on.
    """
    return resample_volume(
        without_solvent(volume).data, volume.pixel_size_angstrom, box_out, pixel_out
    )


def without_solvent(volume: Volume) -> Volume:
    """The map less the median over the faces of its box.

    Beyond the box there is nothing; a solvent other than zero would make a cube of the map, which
    turns with it.
    """
    level = np.median(
        np.concatenate([np.take(volume.data, (0, -1), axis=axis).ravel() for axis in range(3)])
    )
    return Volume(volume.data - np.float32(level), volume.pixel_size_angstrom) if level else volume


def resample_volume(
    data: np.ndarray, pixel_in: float, box_out: int, pixel_out: float
) -> np.ndarray:
    """(D, D, D) -> (box_out, box_out, box_out) float32, density kept.

    Parameters
    ----------
    data : (D, D, D).
    pixel_in : pixel size of the input, in any unit.
    box_out, pixel_out : of the output, in the same unit.
    """
    box_in = data.shape[0]
    if box_in == box_out and np.isclose(pixel_in, pixel_out, rtol=1e-6):
        return np.asarray(data, dtype=np.float32)
    matrix = resampling_matrix(box_in, float(pixel_in), box_out, float(pixel_out))
    out = np.empty((box_out, *data.shape[1:]))
    for y in range(0, box_in, _LINES_AT_ONCE):
        lines = np.s_[:, y : y + _LINES_AT_ONCE]
        out[lines] = np.tensordot(matrix, data[lines].astype(np.float64), axes=(1, 0))
    for axis in (1, 2):
        out = np.moveaxis(np.tensordot(matrix, out, axes=(1, axis)), 0, axis)
    return out.astype(np.float32, order="C")
