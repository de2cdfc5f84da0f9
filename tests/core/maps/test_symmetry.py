"""A map with the axes of a group agrees with itself under that group and no larger one; mask sizes
are found.
"""

import numpy as np
import pytest

from cryoposes_plugin.core import plots
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.maps.phantom import gaussian_density
from cryoposes_plugin.core.maps.size import radial_profile, suggested_diameter_angstrom
from cryoposes_plugin.core.maps.symmetry import (
    likely_group,
    symmetry_correlations,
    turned,
    warn_of_symmetry,
)
from cryoposes_plugin.core.plots import mask_preview
from cryoposes_plugin.core.types import Volume

BOX = 40


def blobs(group, rng, noise=0.0):
    """A few Gaussian blobs and their copies under the group."""
    number = 4 if len(symmetry_rotations(group)) < 12 else 2  # more would fill the sphere evenly
    points = rng.standard_normal((number, 3))
    points *= np.linspace(9, 15, number)[:, None] / np.linalg.norm(points, axis=1)[:, None]
    copies = np.concatenate([points @ g.T for g in symmetry_rotations(group)])
    data = gaussian_density(copies, 1.6, BOX)
    return data + noise * data.std() * rng.standard_normal(data.shape)


def test_turning_is_the_operation_on_coordinates():
    data = np.zeros((9, 9, 9))
    data[4 + 1, 4 + 2, 4 + 3] = 1  # at (x, y, z) = (3, 2, 1)
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # takes (x, y) to (-y, x)
    assert np.unravel_index(turned(data, quarter).argmax(), data.shape) == (5, 4 - 3, 4 + 2)


@pytest.mark.parametrize("group", ["C1", "C3", "C4", "D2", "D3", "T", "O", "I1", "I2"])
def test_the_group_of_a_map_is_found(rng, group):
    correlations = symmetry_correlations(blobs(group, rng, noise=0.3))
    assert likely_group(correlations) == group


@pytest.mark.parametrize(("given", "asked"), [("C1", True), ("C7", False)])
def test_a_map_without_the_symmetry_is_asked_about(rng, caplog, given, asked):
    warn_of_symmetry("Volume m.mrc", Volume(blobs(given, rng, noise=0.3), 5.0), "C7")
    assert ("Volume m.mrc hardly has the symmetry C7" in caplog.text) is asked


def test_another_axis_is_no_symmetry(rng):
    turned_map = np.moveaxis(blobs("C4", rng), 0, 2)
    assert likely_group(symmetry_correlations(turned_map)) == "C1"
    assert set(symmetry_correlations(turned_map, ("C2", "D7"))) == {"C2", "D7"}


def test_the_bars_show_every_group_and_mark_the_chosen_one(rng):
    correlations = symmetry_correlations(blobs("C4", rng), ("C2", "C3", "C4"))
    figure = plots.symmetry_bars(correlations, "C4")
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights == list(correlations.values())
    colours = [bar.get_facecolor() for bar in figure.axes[0].patches]
    assert colours[2] not in colours[:2]
    assert colours[0] != colours[1]


def test_the_mask_holds_a_disk_and_little_more():
    position = np.arange(64) - 32
    disk = (np.hypot(position[:, None], position) < 12).astype(float)
    rng = np.random.default_rng(0)
    for image in (disk, 5 - 3 * disk, disk + 0.02 * rng.standard_normal(disk.shape)):
        assert 24 * 2.5 <= suggested_diameter_angstrom(image, 2.5) <= 32 * 2.5
    assert suggested_diameter_angstrom(np.zeros((16, 16)), 1.0) <= 16
    profile = radial_profile(disk)
    assert profile[5] == 1
    assert profile[20] == 0
    assert len(profile) == 32
    circle = mask_preview(disk, 2.5, 60.0).axes[0].patches[0]
    assert circle.get_radius() == 30
