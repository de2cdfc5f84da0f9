"""The size of the particle in a map."""

import tracemalloc

import numpy as np
import pytest

from cryoposes_plugin.core.maps.size import radius_of_gyration_px


def test_voxels_count_as_they_exceed_the_others():
    """Weights of 3 and 1, 5 and 12 voxels from the centre; what lies lower counts nothing."""
    box = 32
    density = np.zeros((box, box, box), np.float32)
    density[16, 16 + 3, 16 - 4], density[16 + 12, 16, 16], density[0, 0, 0] = 3.0, 1.0, -0.5
    least = density.mean(dtype=np.float64) + density.std(dtype=np.float64)
    near, far = 3.0 - least, 1.0 - least
    expected = np.sqrt((near * 5**2 + far * 12**2) / (near + far))
    assert radius_of_gyration_px(density) == pytest.approx(expected, rel=1e-12)


def test_a_large_map_is_not_copied():
    density = np.random.default_rng(0).standard_normal((96, 96, 96)).astype(np.float32)
    tracemalloc.start()
    radius_of_gyration_px(density)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.2 * density.nbytes
