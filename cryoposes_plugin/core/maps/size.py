"""How large the particle in a map is."""

from __future__ import annotations

import numpy as np


def radius_of_gyration_px(density: np.ndarray) -> float:
    """Root mean square distance of a (D, D, D) volume's density above mean + one sigma from voxel D // 2."""
    density = np.asarray(density, dtype=np.float64)
    weight = np.clip(density - density.mean() - density.std(), 0, None)
    axis2 = (np.arange(density.shape[0]) - density.shape[0] // 2) ** 2.0
    radius2 = axis2[:, None, None] + axis2[:, None] + axis2
    return float(np.sqrt((weight * radius2).sum() / max(weight.sum(), 1e-30)))
