"""Which symmetry a volume has by itself: densities averaged over a group, and nearly so."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from cryoposes_plugin.core.abinitio.own_symmetry import own_symmetry
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.maps.symmetry import turned

BOX, LAST_SHELL = 32, 8


def density_of(places):
    """Balls of standard deviation 2 at (x, y, z) from the centre."""
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    squares = ((x - p[0]) ** 2 + (y - p[1]) ** 2 + (z - p[2]) ** 2 for p in places)
    return sum(np.exp(-square / 8) for square in squares).astype(np.float32)


def balls(seed):
    """Eight, off the centre."""
    return density_of(np.random.default_rng(seed).uniform(-6, 6, (8, 3)))


def averaged(density, group):
    return np.mean([turned(density, g, order=3) for g in symmetry_rotations(group)], axis=0)


@pytest.mark.parametrize("group", ["C1", "C5", "D2", "D3", "T", "O"])
def test_the_group_that_a_density_was_averaged_over_is_found(group):
    assert own_symmetry(averaged(balls(3), group), LAST_SHELL).group == group


def test_a_density_that_is_nearly_symmetric_is_told_and_no_group_proposed():
    """Eight balls that four turns exchange, and one that breaks the symmetry."""
    turns = symmetry_rotations("C4")
    places = [g @ place for g in turns for place in ((8.0, 0.0, -2.0), (3.0, 4.0, 5.0))]
    found = own_symmetry(density_of(places) + 0.6 * density_of([(-5.0, 4.0, -4.0)]), LAST_SHELL)
    assert found.group == "C1"
    assert "nearly C4" in found.sentence()


def test_a_density_that_is_round_about_an_axis_has_no_order():
    places = [(0.0, 0.0, z) for z in (-7.0, -3.0, 0.0, 2.0, 5.0)]
    assert "round about an axis" in own_symmetry(density_of(places), LAST_SHELL).sentence()


def test_nothing_is_said_of_a_density_without_symmetry():
    assert own_symmetry(balls(3), LAST_SHELL).sentence() is None
