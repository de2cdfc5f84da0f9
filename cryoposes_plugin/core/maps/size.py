"""How large the particle in a map is."""

from __future__ import annotations

import numpy as np

from ..fourier.masks import squared_radius


def radius_of_gyration_px(density: np.ndarray) -> float:
    """Root mean square distance of a (D, D, D) volume's density above mean + one sigma from voxel D // 2."""
    density = np.asarray(density, dtype=np.float64)
    weight = np.clip(density - density.mean() - density.std(), 0, None)
    radius2 = squared_radius(density.shape[0], 3)
    return float(np.sqrt((weight * radius2).sum() / max(weight.sum(), 1e-30)))
