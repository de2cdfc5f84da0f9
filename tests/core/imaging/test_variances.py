import numpy as np
import pytest

from cryoposes_plugin.core.fourier.masks import circular_mask
from cryoposes_plugin.core.imaging.variances import variances


@pytest.fixture
def images(rng):
    """Far from zero, where a variance from sums of squares would be wrong."""
    return rng.normal(1000, 0.1, (3, 16, 16)).astype(np.float32)


def test_variances_over_the_box_and_inside_the_mask(images):
    mask = circular_mask(16, 5.0)
    expected = images.var(axis=(1, 2), dtype=float), images[:, mask].var(axis=1, dtype=float)
    assert variances(images, mask) == pytest.approx(np.array(expected), rel=1e-9)


def test_images_that_are_parts_of_larger_ones(images):
    part, mask = images[:, 4:12, 4:12], np.ones((8, 8), bool)
    assert variances(part, mask)[1] == pytest.approx(part.var(axis=(1, 2), dtype=float), rel=1e-9)
