"""A part that moves: the sum of two projections is that of the particle after the motion."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.faults.conformations import (
    Motion,
    draw_motion,
    pose_of_part,
    split,
)
from cryoposes_plugin.core.imaging.reprojections import project
from cryoposes_plugin.core.types import Volume

PIXEL = 3.0


def blob(box, centre, width):
    """(D, D, D) Gaussian at (x, y, z) in voxels from the origin."""
    axis = np.arange(box) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    squared = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
    return np.exp(-squared / (2 * width**2)).astype(np.float32)


@pytest.fixture(scope="module")
def volume():
    return Volume(
        blob(32, (0, 0, 0), 2.5) + blob(32, (6, 0, -1), 1.5) + blob(32, (8, 2, -1), 1.2), PIXEL
    )


@pytest.fixture(scope="module")
def mask():
    found = np.zeros((32, 32, 32), np.float32)
    found[:, :, 20:] = 1
    return found


def test_the_parts_add_up_to_the_particle(volume, mask):
    parts = split(volume, mask)
    assert parts.rest.data + parts.part.data == pytest.approx(volume.data, abs=1e-6)
    z, y, x = np.array(ndimage.center_of_mass(parts.part.data)) - 16
    assert parts.centre_angstrom == pytest.approx(PIXEL * np.array([x, y, z]))


def test_the_image_of_the_part_is_that_of_the_density_after_the_motion(volume, mask, rng):
    rotation, axis = random_rotations(1, rng), np.array([0.0, 2.0, 1.0])
    motion = Motion(np.array([0.5]), np.array([4.0]))
    part = split(volume, mask)
    turned, moved = pose_of_part(rotation, motion, axis, part.centre_angstrom)
    found = ndimage.shift(project(part.part.data, turned)[0], moved[0, ::-1] / PIXEL, order=1)

    # the same density, moved in three dimensions
    unit = axis / np.linalg.norm(axis)
    turn = Rotation.from_rotvec(0.5 * unit).as_matrix()
    c = part.centre_angstrom / PIXEL
    back = turn.T[::-1, ::-1]
    target = (c + 4.0 / PIXEL * unit)[::-1] + 16
    density = ndimage.affine_transform(
        part.part.data, back, offset=c[::-1] + 16 - back @ target, order=1
    )
    expected = project(density, rotation)[0]
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.995
    still = project(part.part.data, rotation)[0]
    assert np.corrcoef(still.ravel(), expected.ravel())[0, 1] < 0.9


def test_the_centre_of_the_part_moves_along_the_axis_alone(rng):
    rotations, centre = random_rotations(5, rng), np.array([10.0, -4.0, 3.0])
    motion = draw_motion(60.0, 7.0, 5, 1)
    turned, moved = pose_of_part(rotations, motion, np.array([0.0, 0.0, 3.0]), centre)
    seen = (turned @ centre)[:, :2] + moved
    along = centre + motion.step_angstrom[:, None] * np.array([0.0, 0.0, 1.0])
    assert seen == pytest.approx(np.einsum("nij,nj->ni", rotations, along)[:, :2])


def test_motions_are_uniform_up_to_the_limits():
    motion = draw_motion(30.0, 5.0, 20000, 1)
    assert np.rad2deg(motion.angle_rad).std() == pytest.approx(30 / np.sqrt(3), rel=0.02)
    assert np.abs(motion.step_angstrom).max() == pytest.approx(5, rel=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_without_a_part_is_refused(volume, value):
    with pytest.raises(InputError, match="give one that holds a part of the particle"):
        split(volume, np.full((32, 32, 32), value, np.float32))
