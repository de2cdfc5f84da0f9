"""The twin of a whole set: what is measured on a set, with and without poses, and images like it."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("sklearn")

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.folder import Folder
from cryoposes_plugin.core.io.mrc import read_stack, write_stack
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.particles.grids import working_grid
from cryoposes_plugin.core.refinement.spectra import Spectra
from cryoposes_plugin.core.trust.measured_set import measure_set
from cryoposes_plugin.core.trust.set_twin import continued, simulate_set
from cryoposes_plugin.core.trust.twin import DECOYS, PARTICLE

from ...particle_sets import make_particles
from ..refinement.scene import BOX, NUMBER, PIXEL, Scene

TWIN = 240


@pytest.fixture(scope="module")
def scene():
    return Scene()


@pytest.fixture(scope="module")
def table(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    write_stack(folder / "set.mrcs", (scene.clean + scene.noise).astype(np.float32), PIXEL)
    return make_particles(folder / "set.mrcs", NUMBER, BOX, PIXEL).replace(
        rotations=scene.rotations, shifts_px=scene.shifts, ctf=scene.ctf
    )


def measured(table, scene, folder, volume=None):
    grid = working_grid(table, None)
    return measure_set(table, volume or scene.volume, grid, np.eye(3)[None], Folder(folder), seed=0)


@pytest.fixture(scope="module")
def at_poses(table, scene, tmp_path_factory):
    return measured(table, scene, tmp_path_factory.mktemp("given"))


def powers(images):
    points = FourierPoints(images.shape[-1])
    return points.shell_means((np.abs(points.transform(images)) ** 2).mean(axis=0))


def test_given_poses_that_belong_to_the_map_are_used(at_poses):
    assert at_poses.given
    assert at_poses.frame.verdict == "belong"


def test_a_set_without_poses_is_measured_at_the_best_of_all_orientations(
    table, scene, at_poses, tmp_path
):
    found = measured(table.replace(rotations=None, shifts_px=None), scene, tmp_path)
    assert not found.given
    ours, theirs = found.results.spectra[0], at_poses.results.spectra[0]
    shells = slice(2, BOX // 4)
    ratio = ours.amplitude[shells] / theirs.amplitude[shells]
    assert np.abs(ratio - 1).max() < 0.1


def test_wrong_poses_are_not_used(table, scene, tmp_path):
    rotations = table.rotations[np.random.default_rng(0).permutation(NUMBER)]
    assert not measured(table.replace(rotations=rotations), scene, tmp_path).given


def test_images_of_another_map_are_refused(table, scene, tmp_path):
    without = table.replace(rotations=None, shifts_px=None)
    with pytest.raises(InputError, match="do not show the map|nothing in common"):
        measured(without, scene, tmp_path, make_phantom(BOX, PIXEL, 77))


def test_the_twin_has_the_power_of_the_set_in_every_shell(table, scene, at_poses, tmp_path):
    path = tmp_path / "twin.mrcs"
    simulate_set(at_poses, table.rotations, TWIN, 0.0, 1, 8.0, path)
    ours = powers(at_poses.refinement.images.read(np.arange(NUMBER)))
    theirs = powers(read_stack(path).astype(np.float32))
    assert np.abs(theirs[1:] / ours[1:] - 1).max() < 0.15


def test_the_views_of_the_twin_are_those_that_are_given(table, at_poses, tmp_path):
    one = table.rotations[:1]
    twin = simulate_set(at_poses, one, 64, 0.0, 1, 8.0, tmp_path / "twin.mrcs")
    # Turned in the plane at random: the same axis of the beam in the frame of the map.
    beam = np.asarray(twin.table.rotations)[:, 2]
    np.testing.assert_allclose(beam, np.tile(one[0, 2], (64, 1)), atol=1e-12)
    turned = angular_distance_rad(np.asarray(twin.table.rotations), np.tile(one, (64, 1, 1)))
    assert turned.max() > 2


def test_junk_has_its_share_in_equal_parts_and_random_order(at_poses, tmp_path):
    twin = simulate_set(at_poses, None, 120, 0.3, 1, 8.0, tmp_path / "twin.mrcs")
    kinds, counts = np.unique(twin.kind, return_counts=True)
    found = dict(zip(kinds.tolist(), counts.tolist()))
    assert found == {PARTICLE: 84, **dict.fromkeys(DECOYS, 6)}
    first = np.flatnonzero(twin.kind != PARTICLE)
    assert first.min() < 30
    assert first.max() > 90


def test_an_amplitude_that_falls_as_a_gaussian_is_continued_exactly():
    shell = np.arange(33.0)
    true = 3.0 * np.exp(-0.004 * shell**2)
    known = np.where(shell <= 20, true, 0.0)
    signal = np.where(shell <= 10, 1e4, 25.0) * (shell <= 20)
    found = continued(Spectra(known, np.ones(33)), signal)
    np.testing.assert_allclose(found.amplitude[10:], true[10:], rtol=1e-9)


def test_amplitudes_that_are_measured_well_stay():
    shell = np.arange(33.0)
    amplitude = np.where(shell <= 24, 2 + np.sin(shell), 0.0)
    found = continued(Spectra(amplitude, np.ones(33)), np.where(shell <= 24, 1e4, 0.0))
    np.testing.assert_array_equal(found.amplitude[:25], amplitude[:25])
    assert (found.amplitude[25:] > 0).all()


def test_an_amplitude_is_never_continued_upwards():
    shell = np.arange(33.0)
    amplitude = np.where(shell <= 20, np.exp(0.002 * shell**2), 0.0)
    found = continued(Spectra(amplitude, np.ones(33)), np.where(shell <= 20, 1e4, 0.0))
    assert (found.amplitude[21:] <= amplitude[20]).all()
