"""Whether poses, map and images belong together: each kind of wrong input is named, right ones are
not.
"""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.fourier.filters import low_pass
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.likelihood.pose_likelihood import PoseLikelihood
from cryoposes_plugin.core.maps.alignment import turned
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.particles.grids import Grid
from cryoposes_plugin.core.refinement.multi_start import Settings
from cryoposes_plugin.core.trust.common_frame import CommonFrame
from cryoposes_plugin.core.trust.explained import Explained
from cryoposes_plugin.core.trust.frame import examine_frame
from cryoposes_plugin.core.trust.verdict import BELONG, FrameTest
from cryoposes_plugin.core.types import Volume

from ..refinement.scene import BOX, NUMBER, PIXEL

ROWS = np.arange(64)


def examine(scene, poses, volume=None, images=None, rows=ROWS):
    """The verdict on poses of the scene's images and a volume."""
    images = scene.clean + scene.noise if images is None else images
    volume = volume or scene.volume
    refinement = SimpleNamespace(
        volume=volume,
        likelihood=PoseLikelihood(volume, scene.points, PIXEL),
        grid=Grid(BOX, PIXEL),
        group=np.eye(3)[None],
        settings=Settings(search_shift_px=0.0),
        threads=0,
        observe=lambda r: scene.observed(images).take(r),
    )
    poses = poses.take(rows)
    return examine_frame(refinement, rows, poses, poses, 0)


def test_right_poses_belong(scene):
    test = examine(scene, scene.near(6.0, 0.5))
    assert test.verdict == "belong"
    assert test.explained.share == pytest.approx(1.0, abs=0.1)
    assert not test.alarming
    assert test.hand == "same"
    assert test.wrong_share is None


def test_a_low_passed_map_explains_what_it_holds(scene):
    cut = Volume(low_pass(scene.volume.data, PIXEL, 30.0), PIXEL)
    test = examine(scene, scene.near(1.0, 0.1), cut)
    assert test.verdict == "belong"
    assert test.explained.share == pytest.approx(1.0, abs=0.1)
    assert test.explained.last_shell < 9


def test_images_of_something_else_among_them_are_no_alarm(scene):
    images = scene.clean + scene.noise
    images[40:] = scene.noise[40:]
    assert examine(scene, scene.near(1.0, 0.1), images=images).verdict == "belong"


def test_shuffled_poses_are_wrong(scene):
    near = scene.near(0.0, 0.0)
    mixed = np.random.default_rng(0).permutation(NUMBER)
    test = examine(scene, dataclasses.replace(near, rotations=near.rotations[mixed]))
    assert test.verdict == "wrong poses"
    assert test.wrong_share > 0.7
    assert test.refined_are_wrong
    assert test.hand == "undecided"


def test_a_turned_and_moved_map_is_told_with_its_transform(scene):
    turn = Rotation.from_euler("ZYZ", [33, 71, 12], degrees=True).as_matrix()
    moved = np.array([2.0, -1.0, 2.0])
    data = turned(scene.volume.data, turn, moved, order=3)
    test = examine(scene, scene.near(0.0, 0.0), Volume(data.astype(np.float32), PIXEL))
    assert test.verdict == "other frame"
    assert test.refined_are_wrong
    # the map is V(turn (x - moved)): turned back, then moved
    rotation, displacement = test.frame.rotation, test.frame.shift_px
    assert np.rad2deg(angular_distance_rad(rotation, turn)) < 2
    np.testing.assert_allclose(displacement, -turn @ moved, atol=0.5)
    assert "another frame" in test.statement("The given poses", "volume map.mrc")
    assert test.metrics()["frame"]["rotation_deg"] == pytest.approx(82.5, abs=2)


@pytest.mark.parametrize("axis", ["z", "x"])
def test_a_flipped_map_is_of_the_other_hand(scene, axis):
    along = "zyx".index(axis)
    data = np.roll(np.flip(scene.volume.data, along), 1, along)
    test = examine(scene, scene.near(0.0, 0.0), Volume(np.ascontiguousarray(data), PIXEL))
    assert test.verdict == "other hand"
    assert test.hand == "opposite"
    assert f"along {axis}" in test.statement("The given poses", "volume map.mrc")


def test_another_scale_is_measured(scene):
    test = examine(scene, scene.near(0.0, 0.0), make_phantom(BOX, 0.85 * PIXEL))
    assert test.verdict == "other scale"
    assert test.scale == pytest.approx(1 / 0.85, abs=0.02)


def test_another_scale_is_measured_where_most_poses_are_wrong(scene):
    near, rng = scene.near(6.0, 0.5), np.random.default_rng(1)
    is_wrong = (np.arange(NUMBER) % 5 < 3)[:, None, None]
    mixed = np.where(is_wrong, random_rotations(NUMBER, rng), near.rotations)
    mixed = dataclasses.replace(near, rotations=mixed)
    test = examine(scene, mixed, make_phantom(BOX, 0.85 * PIXEL))
    assert test.verdict == "other scale"
    assert test.scale == pytest.approx(1 / 0.85, abs=0.02)


@pytest.mark.parametrize(
    ("share", "error", "less"), [(0.70, 0.08, True), (0.70, 0.12, False), (0.85, 0.01, False)]
)
def test_a_share_is_less_if_it_is_so_by_much_and_surely(share, error, less):
    """A part of 0.8, and 2.5 standard errors of the difference."""
    assert Explained(share, error, 8).less_than(Explained(1.0, 0.06, 8), 0.8) is less


def test_another_molecule_is_not_shown(scene):
    test = examine(scene, scene.near(0.0, 0.0), make_phantom(BOX, PIXEL, seed=3))
    assert test.verdict == "other map"
    assert test.explained.share < 0.75


def test_nothing_is_said_of_few_particles_or_of_noise(scene):
    few = examine(scene, scene.near(0.0, 0.0), rows=ROWS[:8])
    assert few.verdict == "not tested"
    assert few.hand == "open"
    noise = examine(scene, scene.near(0.0, 0.0), images=scene.noise)
    assert noise.verdict == "not tested"
    assert noise.metrics()["frame"]["explained_share"] is None


def test_poses_that_were_mostly_far_off_are_not_said_to_belong():
    frame = CommonFrame(np.eye(3), np.zeros(3), False, 0.2, 0.01, 0.1)
    test = FrameTest(BELONG, 100, Explained(0.9, 0.02, 10), frame)
    said = test.statement("The network's poses", "volume map.mrc")
    assert "Most of the network's poses were far off: 20% were near those." in said
