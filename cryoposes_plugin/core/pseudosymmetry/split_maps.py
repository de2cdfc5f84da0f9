"""A map as the sum of a part with the whole point group and a part without it."""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np

from ..geometry.subgroups import Cosets
from ..maps.symmetry import turned
from ..types import Volume

#: Order of the splines by which maps are turned.
_SPLINES = 3
#: A change of a map by less than this, as a share of its standard deviation, is none.
_NOTHING = 1e-4


class SplitMap(NamedTuple):
    """A map with the subgroup H alone, and its mean over the whole group G."""

    whole: Volume
    symmetric: Volume


def group_average(data: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean over (|G|, 3, 3) operations of a volume (D, D, D) that is turned by each."""
    total = np.array(data, dtype=np.float32)
    for operation in group[1:]:
        total += turned(data, operation, order=_SPLINES)
    return total / np.float32(len(group))


def has_symmetry(data: np.ndarray, cosets: Cosets) -> bool:
    """Whether no operation beyond the subgroup changes a volume (D, D, D)."""
    least = _NOTHING * float(data.std())
    return not any(
        float((turned(data, c, order=_SPLINES) - data).std()) > least
        for c in cosets.representatives[1:]
    )


def split_map(volume: Volume, cosets: Cosets, focus: Optional[np.ndarray] = None) -> SplitMap:
    """The map with the symmetry of the subgroup, and with that of the group.

    Parameters
    ----------
    volume : in the frame of the group.
    cosets : of the subgroup.
    focus : (D, D, D) from 0 to 1, where the map may lack the symmetry; None: everywhere.
    """
    part = group_average(volume.data, cosets.subgroup)
    symmetric = group_average(part, cosets.group)
    difference = part - symmetric
    if focus is not None:
        difference *= group_average(focus, cosets.subgroup)
    pixel = volume.pixel_size_angstrom
    return SplitMap(Volume(symmetric + difference, pixel), Volume(symmetric, pixel))
