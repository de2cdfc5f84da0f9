"""Agreement of a volume with itself under the operations of a point group."""

from __future__ import annotations

import logging
from typing import Dict, Sequence, Union

import numpy as np
from scipy import ndimage

from ..conventions import centre
from ..fourier.masks import squared_radius
from ..fourier.resampling import resample_volume
from ..fourier.shells import shell_means
from ..geometry.symmetry import symmetry_rotations
from ..types import Volume

logger = logging.getLogger(__name__)

#: Point groups that are tried if none is given.
USUAL_GROUPS = tuple("C2 C3 C4 C5 C6 C7 C8 D2 D3 D4 D5 D6 D7 D8 T O I1 I2".split())
#: Least correlation of a symmetric map with itself, which allows for noise and interpolation.
AGREES = 0.8
#: Below this correlation, a map hardly has the symmetry.
_DISAGREES = 0.5
_LARGEST_BOX_PX = 48
_BLUR_PX = 1.0


def turned(
    data: np.ndarray,
    operation: np.ndarray,
    shift_px: Union[Sequence[float], np.ndarray] = (0.0, 0.0, 0.0),
    order: int = 1,
) -> np.ndarray:
    """V(g (x - t)) on the grid of (D, D, D) data [z, y, x], for a rotation g (3, 3) and t on (x, y,
    z).

    Turned about voxel D // 2, interpolated by splines of the given order.

    Parameters
    ----------
    data : (D, D, D), indexed [z, y, x].
    operation : g.
    shift_px : t.
    order : of the splines.
    """
    origin = np.full(3, centre(data.shape[0]), dtype=np.float64)
    matrix = operation[::-1, ::-1]  # the same in the array's order
    offset = origin - matrix @ (origin + np.asarray(shift_px)[::-1])
    return ndimage.affine_transform(data, matrix, offset=offset, order=order)


def symmetry_correlations(
    data: np.ndarray, groups: Sequence[str] = USUAL_GROUPS
) -> Dict[str, float]:
    """For each group, the lowest correlation of the volume (D, D, D) with itself rotated by any of
    the operations. It is measured inside the largest sphere, on a grid of at most 48 voxels along
    each side. The mean over directions is subtracted, because it does not change under rotation. A
    symmetric map whose axes differ from those of `geometry.symmetry` has low values.
    """
    small = _small(np.asarray(data, dtype=np.float32))
    radius = np.sqrt(squared_radius(small.shape[0], 3))
    small -= _mean_over_directions(small, radius)
    inside = radius < small.shape[0] / 2 - 1
    operations: Dict[bytes, float] = {}

    def correlation(operation: np.ndarray) -> float:
        key = np.round(operation, 6).tobytes()
        if key not in operations:
            operations[key] = float(
                np.corrcoef(small[inside], turned(small, operation)[inside])[0, 1]
            )
        return operations[key]

    return {
        name: min([1.0, *(correlation(g) for g in symmetry_rotations(name)[1:])]) for name in groups
    }


def likely_group(correlations: Dict[str, float], agrees: float = AGREES) -> str:
    """The largest group with which the volume agrees; C1 if there is none."""
    fitting = [name for name, value in correlations.items() if value >= agrees]
    return max(
        fitting, key=lambda name: (len(symmetry_rotations(name)), correlations[name]), default="C1"
    )


def warn_of_symmetry(what: str, volume: Volume, group: str) -> None:
    """Warn if a map, named by `what`, hardly has the given symmetry."""
    correlation = symmetry_correlations(volume.data, (group,))[group]
    if correlation < _DISAGREES:
        logger.warning(
            "%s hardly has the symmetry %s: turned by its operations, it correlates with itself by "
            "%.2f. Is the symmetry right, and are the axes where %s has them? Without symmetry, "
            "say C1.",
            what,
            group,
            correlation,
            group,
        )


def _small(data: np.ndarray) -> np.ndarray:
    box = data.shape[0]
    small = min(box, _LARGEST_BOX_PX)
    return ndimage.gaussian_filter(resample_volume(data, 1.0, small, box / small), _BLUR_PX)


def _mean_over_directions(data: np.ndarray, radius: np.ndarray) -> np.ndarray:
    shells = np.rint(radius).astype(np.intp)
    return shell_means(data, shells)[shells].astype(data.dtype)
