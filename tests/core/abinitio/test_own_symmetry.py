"""Which symmetry a volume has by itself: densities averaged over a group, and nearly so."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from cryoposes_plugin.core.abinitio.own_symmetry import own_symmetry
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.maps.symmetry import turned

BOX, LAST_SHELL = 32, 8


def balls(seed):
    """A density of eight balls off the centre."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:BOX, :BOX, :BOX] - BOX // 2
    density = np.zeros((BOX, BOX, BOX))
    for centre in rng.uniform(-6, 6, (8, 3)):
        density += np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2) / 8)
    return density.astype(np.float32)


def averaged(density, group):
    return np.mean([turned(density, g, order=3) for g in symmetry_rotations(group)], axis=0)


@pytest.mark.parametrize("group", ["C1", "C5", "D2", "D3", "T", "O"])
def test_the_group_that_a_density_was_averaged_over_is_found(group):
    assert own_symmetry(averaged(balls(3), group), LAST_SHELL).group == group


def test_a_density_that_is_nearly_symmetric_is_told_and_no_group_proposed():
    symmetric, density = averaged(balls(3), "C4"), balls(5)
    found = own_symmetry(symmetric + 0.17 * density, LAST_SHELL)
    assert found.group == "C1"
    assert "nearly C4" in found.sentence()


def test_nothing_is_said_of_a_density_without_symmetry():
    assert own_symmetry(balls(3), LAST_SHELL).sentence() is None
