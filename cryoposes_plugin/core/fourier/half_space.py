"""The half of Fourier space that is stored (Numba)."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ..compiled import inlined


@inlined
def on_stored_side(x: np.float32, y: np.float32, z: np.float32) -> Tuple:
    """(x, y, z, side) of a point or, with side -1, of its Friedel mate: the one at x >= 0."""
    side = np.float32(1.0) if x >= np.float32(0.0) else np.float32(-1.0)
    return x * side, y * side, z * side, side
