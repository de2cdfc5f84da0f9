"""Weights are inverse to the density of views, modulo the group and opposite views, and bounded."""

import numpy as np
import pytest

from cryoposes_plugin.core.conventions import mirror
from cryoposes_plugin.core.geometry.sampling import random_rotations, rotations_viewing
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.geometry.view_weights import view_weights

C1 = symmetry_rotations("C1")


def test_even_views_have_even_weights(rng):
    weights = view_weights(random_rotations(20_000, rng), C1)
    assert weights.mean() == pytest.approx(1.0)
    assert weights.std() < 0.06


def test_a_preferred_view_counts_less_within_the_limit(rng):
    """Of 4,000 particles 3,000 have one view: each counts a quarter of the mean, others more."""
    top = rotations_viewing(np.tile([0.3, 0.2, 1.0], (3000, 1)), rng.uniform(0, 6, 3000))
    weights = view_weights(np.concatenate([top, random_rotations(1000, rng)]), C1)
    np.testing.assert_allclose(weights[:3000], weights[0])
    assert weights.max() / weights.min() == pytest.approx(16.0)
    assert weights.mean() == pytest.approx(1.0)


def test_mates_and_mirror_images_have_one_weight(rng):
    group = symmetry_rotations("D2")
    rotations = rotations_viewing(rng.normal([2.0, 0.5, 1.0], 0.4, (500, 3)), np.zeros(500))
    weights = view_weights(rotations, group)
    moved = rotations @ group[rng.integers(4, size=500)]
    np.testing.assert_allclose(view_weights(moved, group), weights)
    np.testing.assert_allclose(view_weights(mirror(rotations), group), weights)
