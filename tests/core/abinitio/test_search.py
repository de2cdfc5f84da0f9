"""The parts of the search for an initial volume: the posterior, the axes, and the search itself on
a phantom.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import healpix_grid, random_rotations
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.maps.symmetry import turned
from cryoposes_plugin.core.types import Volume

pytest.importorskip("tensorflow")

from cryoposes_plugin.core.abinitio.expectation import (
    Alternative,
    Comparison,
    Neighbourhoods,
    best_rotations,
    junk_evidence,
    sample_poses,
)
from cryoposes_plugin.core.abinitio.search import (
    BackProjection,
    Search,
    SearchState,
    Stage,
    likeliest_poses,
)
from cryoposes_plugin.core.abinitio.starts import shape_agreement
from cryoposes_plugin.core.abinitio.working_images import WorkingImages
from cryoposes_plugin.core.imaging.forward_model import ForwardModel
from cryoposes_plugin.core.maps.alignment import align_maps
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.maps.symmetry_axes import find_axes

BOX, PIXEL, NUMBER = 32, 8.0, 160


def project(volume, rotations, shifts_px):
    model = ForwardModel([volume], BOX, PIXEL)
    index = np.zeros(len(rotations), np.int32)
    return model.images(index, rotations.astype(np.float32), shifts_px.astype(np.float32)).numpy()


def working_images(volume, rotations, shifts_px):
    images = project(volume, rotations, shifts_px)
    return WorkingImages(images / images.std(), None, np.full(len(images), "raw"), PIXEL)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(BOX, PIXEL)


@pytest.fixture
def compared():
    """Three images and five slices at six coefficients, with two shifts; their log likelihoods
    (3, 20, 2) with the mates of the slices, and those of noise alone (3,).
    """
    rng = np.random.default_rng(1)
    y, slices = (rng.standard_normal((n, 6)) + 1j * rng.standard_normal((n, 6)) for n in (3, 5))
    c, noise = rng.uniform(-1, 1, (3, 6)).astype(np.float32), rng.uniform(2, 4, 6)
    frequencies = np.array(
        [[1.0, 2.0], [3.0, 1.0], [1.0, -2.0], [0.0, 1.0], [2.0, 0.0], [3.0, -1.0]]
    )
    shifts = np.array([[0.0, 0.0], [1.0, -0.5]])
    y, slices = y.astype(np.complex64), slices.astype(np.complex64)
    # (kx, -ky): the points 0 and 2, 1 and 5 change places, 3 becomes its opposite, 4 stays
    about_x = slices[:, [2, 5, 0, 3, 4, 1]]
    about_x[:, 3] = about_x[:, 3].conj()
    mates = np.concatenate([slices, about_x, about_x.conj(), slices.conj()])
    wave = np.exp(-2j * np.pi / 16 * shifts @ frequencies.T)
    model = c[:, None, None] * mates[None, :, None] * wave
    log = -(np.abs(y[:, None, None] - model) ** 2 / noise).sum(axis=-1) - np.log(noise).sum()
    empty = -(np.abs(y) ** 2 / noise).sum(axis=-1) - np.log(noise).sum()
    return Comparison(y, c, slices, frequencies, shifts, 16, noise), log, empty


def test_poses_are_drawn_as_often_as_the_posterior_says(compared):
    comparison, log, _ = compared
    draws = 20_000
    drawn = sample_poses(comparison, draws, np.random.default_rng(1))
    posterior = np.exp(log) / np.exp(log).sum(axis=(1, 2), keepdims=True)
    counts = np.zeros_like(posterior)
    np.add.at(counts, (drawn.image, drawn.rotation, drawn.shift), 1 / draws)
    np.testing.assert_allclose(counts, posterior, atol=0.015)


def test_an_image_without_a_particle_is_one_more_thing_that_it_may_show(compared):
    comparison, log, empty = compared
    drawn = sample_poses(comparison, 1, np.random.default_rng(1))
    certainty = np.exp(log).max(axis=(1, 2)) / (np.exp(log).sum(axis=(1, 2)) + np.exp(empty))
    np.testing.assert_allclose(drawn.certainty, certainty, rtol=1e-4)


def test_the_likelihood_of_an_image_is_the_mean_over_its_poses(compared):
    comparison, log, _ = compared
    drawn = sample_poses(comparison, 1, np.random.default_rng(1))
    expected = np.log(np.exp(log).mean(axis=(1, 2)))
    np.testing.assert_allclose(drawn.log_likelihood, expected, rtol=1e-4)


def test_the_probability_of_junk_is_that_of_two_classes(compared):
    comparison, log, empty = compared
    evidence = np.array([-0.5, 0.3, 2.0])
    drawn = sample_poses(
        comparison, 1, np.random.default_rng(1), Alternative(share=0.2, evidence=evidence)
    )
    particle, other = 0.8 * np.exp(log).mean(axis=(1, 2)), 0.2 * np.exp(empty + evidence)
    np.testing.assert_allclose(drawn.junk, other / (particle + other), rtol=1e-4)


def test_only_the_rotations_around_those_kept_are_drawn(compared):
    """Some mates of the same slice belong to a coarse rotation that the images keep, some not."""
    comparison, log, _ = compared
    parent = np.random.default_rng(9).integers(2, size=(4, 5))
    near = Neighbourhoods(parent, np.zeros((3, 1), dtype=int))
    draws = 20_000
    drawn = sample_poses(comparison, draws, np.random.default_rng(1), near=near)
    posterior = np.exp(log).sum(axis=2) * (parent.ravel() == 0)
    posterior /= posterior.sum(axis=1, keepdims=True)
    counts = np.zeros((3, 20))
    np.add.at(counts, (drawn.image, drawn.rotation), 1 / draws)
    np.testing.assert_allclose(counts, posterior, atol=0.015)


def test_the_likeliest_rotations_are_kept(compared):
    comparison, log, _ = compared
    found = np.sort(best_rotations(comparison, 3), axis=1)
    likeliest = np.argsort(log.max(axis=2), axis=1)[:, -3:]
    np.testing.assert_array_equal(found, np.sort(likeliest, axis=1))


def test_the_evidence_of_junk_is_a_ratio_of_gaussians():
    """One coefficient of variance 2 with noise of variance 0.5: complex Gaussian densities."""
    y, power = np.array([[1.0 + 2.0j]], np.complex64), 2.0
    variances = 0.5 + np.array([0.0, 0.3, 1.0, 3.0, 10.0]) * power
    densities = np.exp(-5.0 / variances) / (np.pi * variances)
    found = junk_evidence(y, np.ones((1, 1), np.float32), np.array([0.5]), np.array([power]))
    assert found[0] == pytest.approx(np.log(densities.mean() / densities[0]), rel=1e-5)


def test_round_volumes_agree_in_nothing():
    """Two noisy balls, one off the centre: only what is not round counts."""
    z, y, x = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    rng = np.random.default_rng(7)
    balls = [
        np.exp(-((x - off) ** 2 + y**2 + z**2) / 50) + 0.02 * rng.standard_normal((BOX,) * 3)
        for off in (0.0, 0.6)
    ]
    assert shape_agreement(balls[0], balls[1], 5) < 0.7


def test_a_volume_agrees_with_its_rotated_mirror_image(phantom):
    turn = Rotation.from_euler("ZYZ", [20, 65, 130], degrees=True).as_matrix()
    assert shape_agreement(phantom.data, turned(phantom.data[::-1], turn, order=3), 5) > 0.95


def test_images_of_something_else_are_told(phantom):
    """Half of the images are pure noise; the others have a quarter of its power as signal."""
    rng = np.random.default_rng(8)
    rotations, shifts = random_rotations(40, rng), rng.normal(0, 0.7, (40, 2))
    images = np.array(project(phantom, rotations, shifts))
    signal = images.std()
    images[20:] = 0
    images = images / signal + rng.normal(0, 2, images.shape).astype(np.float32)
    working = WorkingImages(images, None, np.full(40, "raw"), PIXEL)
    search = Search(working, 3.0, 1)
    noise = np.full(len(search.power), 4.0 * BOX * BOX)
    known = SearchState(phantom.data / signal, noise, np.zeros((40, 2)), junk_share=0.5)
    junk = likeliest_poses(working, known, 3.0, rng)[3]
    np.testing.assert_array_equal(junk > 0.5, np.arange(40) >= 20)


def test_images_at_their_poses_give_the_volume_back(phantom):
    rng = np.random.default_rng(2)
    rotations, shifts = random_rotations(NUMBER, rng), rng.normal(0, 1, (NUMBER, 2))
    back = BackProjection(working_images(phantom, rotations, shifts), 8)
    found = back.volume(np.arange(NUMBER), rotations, shifts, np.ones(NUMBER))
    assert fourier_shell_correlation(found, phantom.data)[1:8].min() > 0.98


def test_a_random_start_ends_at_the_shape_up_to_rotation_and_hand(phantom):
    rng = np.random.default_rng(3)
    rotations, shifts = random_rotations(NUMBER, rng), rng.normal(0, 0.7, (NUMBER, 2))
    images = working_images(phantom, rotations, shifts)
    search = Search(images, 2.0, 8)
    state = search.start(rng)
    for stage in (Stage(3, 1, 5, 1.0, 0.3), Stage(4, 1, 10, 0.5, 0.1), Stage(6, 2, 4, 0.3, 0.05)):
        found = search.run(stage, state, rng)
        state = found.state
    assert found.explained > 0.9
    alignment = align_maps(Volume(state.volume, PIXEL), phantom, 6)
    curve = fourier_shell_correlation(
        alignment.apply(Volume(state.volume, PIXEL)).data, phantom.data
    )
    assert curve[1:6].min() > 0.9


def test_poses_for_a_volume_that_is_known(phantom):
    rng = np.random.default_rng(4)
    rotations, shifts = random_rotations(20, rng), rng.normal(0, 1, (20, 2))
    images = working_images(phantom, rotations, shifts)
    search = Search(images, 3.0, 1)
    state = search.start(rng)
    scale = project(phantom, rotations, shifts).std()
    known = type(state)(phantom.data / scale, 0.02 * search.power, state.shifts_px)
    found, moved, certainty, _ = likeliest_poses(images, known, 3.0, rng)
    # the finest grid is 7.5° apart
    assert np.median(np.rad2deg(angular_distance_rad(found, rotations))) < 6
    assert np.abs(moved - shifts).max() < 1.5
    assert ((certainty > 0) & (certainty <= 1)).all()


@pytest.mark.parametrize("limit_px", [0.0, 3.0])
def test_no_shift_is_longer_than_the_largest(phantom, limit_px):
    """Images that are off their centre by more than that: the search would go there, stage after
    stage.
    """
    rng = np.random.default_rng(6)
    rotations = random_rotations(24, rng)
    images = working_images(phantom, rotations, np.full((24, 2), 4.0))
    search = Search(images, limit_px, 2)
    state = search.start(rng)
    for stage in (
        Stage(3, 1, 2, 1.0, 0.5),
        Stage(4, 1, 2, 0.5, 0.3),
        Stage(6, 1, 2, 0.3, 0.2, local=True),
    ):
        found = search.run(stage, state, rng)
        state = found.state
        assert np.linalg.norm(found.shifts_px, axis=1).max() <= limit_px + 1e-6
    assert np.linalg.norm(found.shifts_px, axis=1).max() == pytest.approx(limit_px, abs=0.3)


def test_axes_are_found_and_poses_go_with_the_volume(phantom, symmetry="C3"):
    group = symmetry_rotations(symmetry)
    data = np.mean([turned(phantom.data, g, order=3) for g in group], axis=0)
    turn, origin = (
        Rotation.from_euler("ZYZ", [20, 65, 130], degrees=True).as_matrix(),
        np.array([0.8, -0.5, 0.3]),
    )
    tilted = turned(data, turn, origin, order=3)
    axes = find_axes(tilted, symmetry, 6)
    assert axes.correlation > 0.95
    # along the axis the origin is free
    off = axes.origin_px - origin
    np.testing.assert_allclose(off - (off @ turn[2]) * turn[2], 0, atol=0.1)
    straight = axes.volume(tilted, symmetry)
    assert np.corrcoef(turned(straight, group[1]).ravel(), straight.ravel())[0, 1] > 0.95
    # images of the tilted volume, as images of the straight one at the poses that go with it
    rotations = random_rotations(5, np.random.default_rng(5))
    images = project(Volume(tilted.astype(np.float32), PIXEL), rotations, np.zeros((5, 2)))
    moved = axes.poses(rotations, np.zeros((5, 2)))
    same = project(Volume(straight, PIXEL), *moved)
    assert min(np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(images, same)) > 0.95


def test_the_grid_of_rotations_is_even():
    grid = healpix_grid(1)
    assert len(grid) == 576
    nearest = [np.sort(angular_distance_rad(grid, g))[1] for g in grid[:40]]
    assert np.rad2deg(min(nearest)) > 15
    assert np.rad2deg(max(nearest)) < 40
