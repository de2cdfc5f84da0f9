"""Whether the asymmetric part of a map is the noise of the particles that it is compared with.

A map that was made of the particles at their given poses holds the noise of each image at its given
mate, and confirms it. It then agrees with a map of these particles at these poses better than their
half maps allow: with the correlation f of the asymmetric parts of the half maps, a map that owes
nothing to the particles agrees with that of all of them by sqrt(2 f / (1 + f)) at most (Rosenthal &
Henderson 2003).
"""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np

from ..fourier.resampling import resample_volume
from ..fourier.shells import shell_counts, shell_index
from ..geometry.subgroups import Cosets
from ..maps.fsc import fourier_shell_correlation
from ..particles.grids import Grid
from ..particles.images import ResampledImages
from ..reconstruction.fourier_method import fourier_maps
from ..reconstruction.particles import ReconstructionParticles
from ..types import ParticleTable, Volume
from .split_maps import SplitMap, split_map

#: Box in which the maps are compared, at most.
_LARGEST_BOX_PX = 64
#: Standard errors beyond which a correlation is no accident.
_SIGNIFICANT = 5.0


class OwnNoise(NamedTuple):
    """Correlation of the asymmetric parts of a map and of that of the particles, and the largest that
    a map without their noise may have.
    """

    correlation: float
    allowed: float

    @property
    def found(self) -> bool:
        return self.correlation > self.allowed


def own_noise(
    split: SplitMap,
    focus: Optional[Volume],
    cosets: Cosets,
    symmetry: str,
    table: ParticleTable,
    half: np.ndarray,
    grid: Grid,
    threads: int,
) -> OwnNoise:
    """Compare the asymmetric part of a map with that of the particles at their given poses.

    Parameters
    ----------
    split : the map.
    focus : where it may lack the symmetry; None: everywhere.
    cosets, symmetry : of the subgroup, and its name for `fourier_maps`.
    table : particles with poses.
    half : (N,) their half sets, 1 and 2.
    grid : field of view, and the finest detail that counts.
    threads : see `fourier_maps`.
    """
    grid = grid.rescaled(min(grid.box_size_px, _LARGEST_BOX_PX))

    def on_grid(volume: Volume) -> np.ndarray:
        return resample_volume(volume.data, volume.pixel_size_angstrom, *grid)

    where = None if focus is None else on_grid(focus)
    particles = ReconstructionParticles(table, ResampledImages(table, *grid), half)
    parts = [on_grid(split.whole) - on_grid(split.symmetric)]
    for data in fourier_maps(particles, symmetry, threads=threads):
        own = split_map(Volume(data, grid.pixel_size_angstrom), cosets, where)
        parts.append(own.whole.data - own.symmetric.data)

    given, whole, *halves = parts
    number = shell_counts(shell_index(grid.box_size_px), grid.box_size_px // 2 + 1)[1:]
    weight, error = number / number.sum(), _SIGNIFICANT / np.sqrt(number.sum())
    agreement = float(weight @ fourier_shell_correlation(*halves)[1:])
    shared = min(max(agreement, 0.0) + error, 1.0)
    return OwnNoise(
        float(weight @ fourier_shell_correlation(given, whole)[1:]),
        float(np.sqrt(2 * shared / (1 + shared)) + error),
    )
