"""The pictures of `reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import numpy as np
from matplotlib.figure import Figure

from ...core.evaluation.views import sampling_compensation_factor
from ...core.geometry.symmetry import symmetry_rotations
from ...core.io.mrc import read_volume
from ...core.io.names import HALF1_NAME, HALF2_NAME
from ...core.io.particle_files import read_particles
from ...core.maps.conical_fsc import fsc_in_cones
from ...core.particles.grids import Grid
from ..drawing import Picture, map_pictures
from .config import ReconstructConfig
from .inputs import fsc_mask
from .views import cones_figure, sampling_figure


def pictures(folder: Path, config: ReconstructConfig) -> Dict[str, Picture]:
    """The map, the FSC curves, the viewing directions of the particles, how they fill Fourier space,
    and the FSC by direction.
    """
    found = map_pictures(folder, config.particles)
    if found:
        found["fourier_coverage"] = Picture("Coverage of Fourier space", lambda: _coverage(config))
        found["fsc_by_direction"] = Picture("FSC by direction", lambda: _cones(folder, config))
    return found


def _coverage(config: ReconstructConfig) -> Figure:
    table = read_particles(
        str(config.particles), ("poses",), config.images_from, config.passthrough
    )
    group = symmetry_rotations(config.symmetry)
    return sampling_figure(sampling_compensation_factor(np.asarray(table.rotations), group))


def _cones(folder: Path, config: ReconstructConfig) -> Figure:
    half1, half2 = (read_volume(folder / name) for name in (HALF1_NAME, HALF2_NAME))
    mask = fsc_mask(config, Grid(half1.box_size_px, half1.pixel_size_angstrom))
    cones = fsc_in_cones(half1.data * mask, half2.data * mask)
    return cones_figure(cones, half1.pixel_size_angstrom)
