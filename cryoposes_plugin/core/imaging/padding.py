"""Sizes of the grids of a simulation, and the memory that they need."""

from __future__ import annotations

import math
from typing import Sequence, Tuple

import numpy as np
import scipy.fft

from ..types import Volume

#: Paddings of the Fourier grid; the smallest one that is accurate enough for a volume is used.
PADDINGS = (2.0, 2.5, 3.0, 4.0)
#: Bound of `interpolation_error`; against the exact transform, images of seven maps erred by 0.9 to
#: 1.9 times it.
INTERPOLATION_ERROR = 0.01
#: The table of neighbours may take this much memory; where all 8 would take more, 4, 2 or 1 are
#: read at a time.
TABLE_BYTES = 700_000_000


def padded_size(box_size_px: int, padding: float) -> int:
    """Even edge of the padded grid, of a length for which the FFT is fast."""
    return 2 * scipy.fft.next_fast_len(math.ceil(padding * box_size_px / 2))


def interpolation_error(
    energy: np.ndarray, pixel_size_angstrom: float, field_angstrom: float
) -> float:
    """Relative error that trilinear interpolation makes, on a Fourier grid of spacing 1 / field.

    A density at x comes back, beside itself, at x + n field, with amplitudes sinc^2(u + n) /
    sinc^2(u), u = x / field, along each axis; sum_n sinc^4(u + n) = (2 + cos 2 pi u) / 3. Averaged
    over the volume's energy, (3, D) in the planes across each axis.
    """
    d = energy.shape[1]
    u = (np.arange(d) - d // 2) * pixel_size_angstrom / field_angstrom
    ghosts = (2 + np.cos(2 * np.pi * u)) / (3 * np.sinc(u) ** 4) - 1
    return math.sqrt(float((energy @ ghosts).sum()) / energy[0].sum())


def energy_of_planes(volume: Volume) -> np.ndarray:
    """(3, D) energy in each plane across z, y and x."""
    energy = np.zeros((3, volume.box_size_px))
    for z, plane in enumerate(volume.data):
        squared = plane.astype(np.float64) ** 2
        energy[0, z] = squared.sum()
        energy[1] += squared.sum(axis=1)
        energy[2] += squared.sum(axis=0)
    return energy


def choose_padding(
    volumes: Sequence[Volume], box_size_px: int, pixel_size_angstrom: float
) -> float:
    """Padding for the projection of volumes on a grid of this box; a volume that fills its box
    needs more.
    """
    energies = [(energy_of_planes(v), v.pixel_size_angstrom) for v in volumes]
    for padding in PADDINGS[:-1]:
        field = padded_size(box_size_px, padding) * pixel_size_angstrom
        if all(interpolation_error(*given, field) <= INTERPOLATION_ERROR for given in energies):
            return padding
    return PADDINGS[-1]


def packed_axes(table_bytes: int) -> Tuple[int, ...]:
    """Axes (z 0, y 1, x 2) along which neighbours lie side by side, given the size of a table
    without neighbours.
    """
    if 8 * table_bytes <= TABLE_BYTES:
        return (0, 1, 2)
    if 4 * table_bytes <= TABLE_BYTES:
        return (1, 2)
    return (2,) if 2 * table_bytes <= TABLE_BYTES else ()


def working_box_size_px(
    volumes: Sequence[Volume], box_size_px: int, pixel_size_angstrom: float
) -> int:
    """Box that contains the images and all volumes completely, so that density outside the image
    does not wrap around into it.
    """
    needed = max(
        math.ceil(v.box_size_px * v.pixel_size_angstrom / pixel_size_angstrom - 1e-2)
        for v in volumes
    )
    return max(box_size_px, needed + needed % 2)
