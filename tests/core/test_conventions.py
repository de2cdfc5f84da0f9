"""Conventions against SciPy, against each other, and against their statement in words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core import conventions
from cryoposes_plugin.core.geometry.rotations import (
    angular_distance_rad,
    mean_rotation,
    project_to_so3,
)
from cryoposes_plugin.core.geometry.sampling import random_rotations

angles = st.tuples(st.floats(-180, 180), st.floats(0, 180), st.floats(-180, 180))


@given(angles)
@settings(max_examples=200, deadline=None)
def test_angles_survive_a_round_trip_as_rotations(angle):
    a = conventions.euler_deg_to_rotations(np.array([angle]))
    again = conventions.euler_deg_to_rotations(conventions.rotations_to_euler_deg(a))
    assert angular_distance_rad(a, again)[0] < 1e-7


@pytest.mark.parametrize("tilt", [0.0, 180.0])
def test_poles_keep_the_rotation(tilt):
    a = conventions.euler_deg_to_rotations(np.array([[33.0, tilt, 71.0]]))
    found = conventions.rotations_to_euler_deg(a)
    assert found[0, 2] == 0.0
    assert angular_distance_rad(a, conventions.euler_deg_to_rotations(found))[0] < 1e-9


@pytest.mark.oracle
def test_rotation_is_the_product_of_three_elementary_ones():
    rot, tilt, psi = 12.0, 34.0, 56.0

    def turn(axis, angle_deg):
        return Rotation.from_euler(axis, angle_deg, degrees=True).as_matrix()

    expected = turn("z", -psi) @ turn("y", -tilt) @ turn("z", -rot)
    np.testing.assert_allclose(
        conventions.euler_deg_to_rotations(np.array([[rot, tilt, psi]]))[0], expected, atol=1e-12
    )


@pytest.mark.oracle
def test_scipion_transform_holds_the_scipy_rotation_and_the_shift(rng):
    angle = np.array([[10.0, 100.0, -60.0]])
    a, t = conventions.euler_deg_to_rotations(angle), np.array([[1.5, -2.5]])
    transform = conventions.poses_to_transforms(a, t)
    np.testing.assert_allclose(
        transform[0, :3, :3],
        Rotation.from_euler("ZYZ", angle[0], degrees=True).as_matrix(),
        atol=1e-12,
    )
    np.testing.assert_allclose(np.linalg.inv(transform)[0, :3, 3], [1.5, -2.5, 0.0], atol=1e-12)


def test_transforms_survive_a_round_trip(rng):
    a, t = random_rotations(20, rng), rng.normal(size=(20, 2))
    a2, t2 = conventions.transforms_to_poses(conventions.poses_to_transforms(a, t))
    np.testing.assert_allclose(a2, a, atol=1e-12)
    np.testing.assert_allclose(t2, t, atol=1e-12)


def test_a_particle_moved_right_has_a_negative_origin():
    np.testing.assert_allclose(
        conventions.shifts_px_to_origin_angstrom(np.array([[2.0, -3.0]]), 1.5), [[-3.0, 4.5]]
    )
    np.testing.assert_allclose(
        conventions.origin_angstrom_to_shifts_px(np.array([[-3.0, 4.5]]), [1.5]), [[2.0, -3.0]]
    )


@pytest.mark.oracle
def test_quaternions_agree_with_scipy_and_are_on_one_hemisphere(rng):
    a = random_rotations(50, rng)
    q = conventions.rotations_to_quaternions(a)
    assert (q[:, 0] >= 0).all()
    np.testing.assert_allclose(conventions.quaternions_to_rotations(q), a, atol=1e-12)
    np.testing.assert_allclose(
        np.abs((q * Rotation.from_matrix(a).as_quat()[:, [3, 0, 1, 2]]).sum(axis=1)), 1, atol=1e-12
    )


def test_quaternion_distance_is_the_angular_distance(rng):
    a, b = random_rotations(50, rng), random_rotations(50, rng)
    dot = np.abs(
        (conventions.rotations_to_quaternions(a) * conventions.rotations_to_quaternions(b)).sum(
            axis=1
        )
    )
    np.testing.assert_allclose(
        angular_distance_rad(a, b), 2 * np.arccos(np.clip(dot, 0, 1)), atol=1e-7
    )
    expected = Rotation.from_matrix(a @ np.swapaxes(b, 1, 2)).magnitude()
    np.testing.assert_allclose(angular_distance_rad(a, b), expected, atol=1e-7)


@pytest.mark.oracle
def test_tiny_distances_are_not_lost():
    b = Rotation.from_rotvec([1e-9, 0, 0]).as_matrix()
    assert angular_distance_rad(np.eye(3), b) == pytest.approx(1e-9, rel=1e-6)


def test_projection_onto_rotations(rng):
    a = random_rotations(10, rng)
    np.testing.assert_allclose(project_to_so3(3.7 * a), a, atol=1e-12)
    reflected = a.copy()
    reflected[:, 0] *= -1
    np.testing.assert_allclose(np.linalg.det(project_to_so3(reflected)), 1)
    np.testing.assert_allclose(mean_rotation(np.repeat(a[:1], 5, axis=0)), a[0], atol=1e-12)


def test_mirror_turn_and_hand_on_a_point_cloud(rng):
    cloud = rng.normal(size=(30, 3))
    a = random_rotations(1, rng)[0]
    xy = (a @ cloud.T).T[:, :2]
    flipped = (conventions.mirror(a) @ cloud.T).T[:, :2]
    np.testing.assert_allclose(flipped, xy * [-1, 1], atol=1e-12)
    turned = (conventions.turn_in_plane(a[None], 0.3)[0] @ cloud.T).T[:, :2]
    c, s = np.cos(0.3), np.sin(0.3)
    np.testing.assert_allclose(turned, xy @ np.array([[c, s], [-s, c]]), atol=1e-12)
    other_hand = (conventions.opposite_hand(a) @ (cloud * [1, 1, -1]).T).T[:, :2]
    np.testing.assert_allclose(other_hand, xy, atol=1e-12)


def test_viewing_direction_is_rot_and_tilt():
    direction = conventions.viewing_directions(
        conventions.euler_deg_to_rotations(np.array([[30.0, 50.0, 70.0]]))
    )[0]
    rot, tilt = np.deg2rad(30), np.deg2rad(50)
    np.testing.assert_allclose(
        direction,
        [np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)],
        atol=1e-12,
    )
