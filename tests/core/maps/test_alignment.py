"""Two maps in one frame: a map that was turned, moved and mirrored comes back."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.maps.alignment import align_maps
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.maps.symmetry import turned
from cryoposes_plugin.core.types import Volume


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(32, 8.0)


@pytest.mark.parametrize("hand", ["same", "opposite"])
def test_rotation_displacement_and_hand_are_found(phantom, hand):
    rotation = Rotation.from_euler("ZYZ", [40, 75, -110], degrees=True).as_matrix()
    moved = Volume(turned(phantom.data, rotation, (1.0, -0.5, 0.7), order=3), 8.0)
    estimate = moved.mirrored() if hand == "opposite" else moved
    found = align_maps(estimate, phantom, 10)
    assert found.hand == hand
    assert found.correlation > 0.98
    assert np.rad2deg(angular_distance_rad(found.rotation, rotation)) < 1.0
    back = found.apply(estimate).data
    inside = phantom.data > 0.1 * phantom.data.max()
    assert np.corrcoef(back[inside], phantom.data[inside])[0, 1] > 0.97


def test_maps_on_two_grids_are_refused(phantom):
    with pytest.raises(InputError, match="32 and 24"):
        align_maps(phantom, make_phantom(24, 8.0), 6)


def test_mirroring_twice_changes_nothing():
    volume = make_phantom(40, 5.0)
    again = volume.mirrored().mirrored().data
    np.testing.assert_array_equal(again[1:], volume.data[1:])
