"""How far out the images are looked at, stage by stage."""

from __future__ import annotations

from typing import List

import numpy as np

#: Where the phase of a point at the radius of gyration moves by one radian under this error, the first stage ends.
_FIRST_ERROR_RAD = 0.06
#: Each stage reaches this many times further out.
MARCH = 1.6


def stage_radii(box_size_px: int, radius_px: float, last_shell: int) -> List[float]:
    """Radii in cycles per box at which the stages end; the last one is the last shell."""
    radius = max(4.0, box_size_px / (2 * np.pi * _FIRST_ERROR_RAD * max(radius_px, 1.0)))
    radii = []
    while radius * MARCH**0.5 < last_shell:
        radii.append(radius)
        radius *= MARCH
    return [*radii, float(max(last_shell, 1))]
