"""Masks of volumes that come from a file: what is one, on which grid, and whether its edge is soft."""

from __future__ import annotations

import logging

import numpy as np

from ..errors import InputError
from ..fourier.resampling import resample_volume, without_solvent
from ..types import Volume

logger = logging.getLogger(__name__)

#: Values may lie outside of 0 to 1 by this: masks are filtered and resampled.
_TOLERANCE = 0.05
#: A mean edge narrower than this many voxels is hard: it correlates distant shells.
_HARD_EDGE_PX = 1.5
#: Voxels between these values belong to the edge.
_EDGE = (0.02, 0.98)
#: A mask that leaves out more of a map's power than this belongs to another map or frame.
_MOST_LEFT_OUT = 0.5


def check_mask(path: str, mask: Volume) -> None:
    """InputError for a volume that is no mask: 1 inside, 0 outside, between these at the edge."""
    low, high = float(mask.data.min()), float(mask.data.max())
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise InputError(
            f"Mask {path} has values from {low:.4g} to {high:.4g}; give a mask whose values are 0 "
            "outside and 1 inside, not a map."
        )
    if high <= _TOLERANCE:
        raise InputError(f"Mask {path} is empty (0 everywhere); give one that covers the particle.")
    if low >= 1 - _TOLERANCE:
        raise InputError(
            f"Mask {path} is 1 everywhere and masks nothing; give one that is 0 elsewhere, or none."
        )


def warn_of_hard_edge(path: str, mask: Volume) -> None:
    """Warns of a mask from 0 to 1 that is not soft."""
    width = edge_width_px(mask.data)
    if width < _HARD_EDGE_PX:
        logger.warning(
            "Mask %s has a hard edge (%.1f voxels wide), which makes shells agree that have "
            "nothing in common; give it a soft edge of 3 to 8 voxels.",
            path,
            width,
        )


def edge_width_px(mask: np.ndarray) -> float:
    """Mean width in voxels over which a mask (D, D, D) falls from 1 to 0.

    The number of voxels between over the area of the surface, which pairs of neighbours on its two
    sides measure: averaged over all directions, an area of one square voxel separates 3 / 2 pairs.
    """
    inside = mask > 0.5
    pairs = sum(np.count_nonzero(np.diff(inside, axis=axis)) for axis in range(3))
    between = np.count_nonzero((mask > _EDGE[0]) & (mask < _EDGE[1]))
    return between / max(2 / 3 * pairs, 1.0)


def mask_on_grid(mask: Volume, box_size_px: int, pixel_size_angstrom: float) -> np.ndarray:
    """(D, D, D) float32 from 0 to 1; outside of its own box a mask is 0."""
    grid = (box_size_px, pixel_size_angstrom)
    return np.clip(resample_volume(mask.data, mask.pixel_size_angstrom, *grid), 0, 1)


def masked_volume(volume: Volume, mask: Volume) -> Volume:
    """The map above its solvent, under the mask; warns if the mask leaves out most of it."""
    density = without_solvent(volume).data
    kept = density * mask_on_grid(mask, volume.box_size_px, volume.pixel_size_angstrom)
    power = float(np.square(density, dtype=np.float64).sum())
    left_out = 1 - float(np.square(kept, dtype=np.float64).sum()) / max(power, 1e-300)
    if left_out > _MOST_LEFT_OUT:
        logger.warning(
            "The mask leaves out %.0f %% of the power of the volume: does it belong to this volume, "
            "and lie in its frame?",
            100 * left_out,
        )
    return Volume(kept, volume.pixel_size_angstrom)
