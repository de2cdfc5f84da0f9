"""The transform between two sets of poses, of which many may be wrong."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.conventions import opposite_hand
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.trust.common_frame import common_frame

NUMBER, ALONE = 60, np.eye(3)[None]
TURN = Rotation.from_euler("ZYZ", [33, 71, 12], degrees=True).as_matrix()


def poses(seed, spread_deg=1.0, wrong=0):
    """(A, t) and the same with errors and random outliers."""
    rng = np.random.default_rng(seed)
    rotations, shifts = random_rotations(NUMBER, rng), rng.normal(0, 2, (NUMBER, 2))
    error = np.deg2rad(spread_deg) / 3**0.5 * rng.standard_normal((NUMBER, 3))
    near = Rotation.from_rotvec(error).as_matrix() @ rotations
    near[:wrong] = random_rotations(NUMBER, rng)[:wrong]
    return (rotations, shifts), (near, shifts + 0.1 * rng.standard_normal(shifts.shape))


@pytest.mark.parametrize("wrong", [0, 35])
def test_rotation_and_displacement_are_found_among_wrong_poses(wrong):
    (rotations, shifts), (near, moved) = poses(0, wrong=wrong)
    displacement = np.array([3.0, -2.0, 5.0])
    found = near @ TURN, moved + (rotations @ displacement)[:, :2]
    frame = common_frame((rotations, shifts), found, ALONE)
    assert np.rad2deg(angular_distance_rad(frame.rotation, TURN)) < 1
    np.testing.assert_allclose(frame.shift_px, displacement, atol=0.2)
    assert frame.turned
    assert frame.moved
    assert not frame.mirrored
    assert frame.share == pytest.approx(1 - wrong / NUMBER, abs=0.05)


def test_few_votes_show_a_likeness_and_no_frame():
    """Nine of sixty agree, where chance allows two."""
    given, (near, moved) = poses(4, wrong=NUMBER - 9)
    assert common_frame(given, (near @ TURN, moved), ALONE) is None
    frame = common_frame(given, (near @ TURN, moved), ALONE, likeness=True)
    assert np.rad2deg(angular_distance_rad(frame.rotation, TURN)) < 2
    assert frame.share == pytest.approx(9 / NUMBER, abs=0.02)


@pytest.mark.parametrize(
    ("axis", "turn"), [("z", [1, 1, 1]), ("x", [-1, 1, -1]), ("y", [1, -1, -1])]
)
def test_each_flip_of_a_map_is_named(axis, turn):
    """The map flipped along an axis shows what the map shows at these poses."""
    given, (near, moved) = poses(1)
    frame = common_frame(given, (opposite_hand(near) @ np.diag(turn), moved), ALONE)
    assert frame.mirrored
    assert frame.flip == axis
    assert not frame.turned
    assert not frame.moved


def test_poses_with_errors_are_in_the_same_frame():
    for seed, degrees in enumerate((0.5, 6.0, 25.0)):
        given, found = poses(seed, degrees, wrong=10)
        assert common_frame(given, found, ALONE).same


def test_unrelated_poses_have_no_common_frame():
    for seed in range(5):
        given, found = poses(seed, wrong=NUMBER)
        assert common_frame(given, found, ALONE, likeness=True) is None
        same = np.tile(np.eye(3), (NUMBER, 1, 1)), given[1]
        assert common_frame(same, found, ALONE) is None


def test_a_symmetry_operation_is_no_other_frame():
    group = symmetry_rotations("D2")
    given, (near, moved) = poses(2)
    rows = np.random.default_rng(0).integers(0, len(group), NUMBER)
    assert common_frame(given, (near @ group[rows], moved), group).same
    turned = common_frame(given, (near @ TURN @ group[rows], moved), group)
    nearest = angular_distance_rad(turned.rotation, TURN @ group)
    assert np.rad2deg(nearest.min()) < 1
    assert turned.turned


def test_a_few_poses_are_no_evidence():
    given, found = poses(3)
    few = slice(0, 4)
    few_given, few_found = ((a[few], t[few]) for a, t in (given, found))
    assert common_frame(few_given, few_found, ALONE) is None
