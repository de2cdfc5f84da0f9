"""The coarse map of its training that lies in a model's folder, to find how other maps lie to it."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import numpy as np

from ..fourier.resampling import resample_volume
from ..io.mrc import read_volume
from ..io.names import VOLUME_NAME
from ..types import AnyPath, Volume

_BOX_PX = 32


def coarse_map(volume: Volume, field_of_view_angstrom: float) -> Volume:
    """A map in the field of view of a network, in a small box."""
    pixel = field_of_view_angstrom / _BOX_PX
    data = resample_volume(volume.data, volume.pixel_size_angstrom, _BOX_PX, pixel)
    return Volume(data.astype(np.float32), pixel)


def read_coarse_map(folder: AnyPath, field_of_view_angstrom: float) -> Optional[Volume]:
    """The map in a model's folder, on the grid of `coarse_map`; None if there is none."""
    path = Path(folder) / VOLUME_NAME
    return coarse_map(read_volume(path), field_of_view_angstrom) if path.exists() else None
