"""Refinement: derivatives, the gain's closed form, convergence, covariance, and what must not change a pose."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("tensorflow")

from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.ctf import pack_ctf
from cryoposes_plugin.core.imaging.forward_model import ForwardModel, apply_image_state
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.maps.size import radius_of_gyration_px
from cryoposes_plugin.core.refinement.hand import HandTest, compare_hands
from cryoposes_plugin.core.refinement.levenberg_marquardt import (
    Poses,
    Prior,
    levenberg_marquardt,
    profile,
)
from cryoposes_plugin.core.refinement.likelihood import PoseLikelihood
from cryoposes_plugin.core.refinement.multi_start import MultiStart, Settings
from cryoposes_plugin.core.refinement.observations import observe
from cryoposes_plugin.core.refinement.refinement import residuals
from cryoposes_plugin.core.refinement.shift_grid import shift_grid
from cryoposes_plugin.core.refinement.spectra import Spectra, SpectraSums
from cryoposes_plugin.core.refinement.stages import stage_radii
from cryoposes_plugin.core.refinement.starts import GivenStarts, turns_around
from cryoposes_plugin.core.refinement.whitened_images import WhitenedImages
from cryoposes_plugin.core.types import CtfTable, Volume

BOX, PIXEL, NUMBER = 40, 5.0, 160
NOISE = 1.5  # standard deviation, in units of the mean standard deviation of the projections


class Scene:
    """Images of the demo's molecule with CTF, shifts and white noise, and all that is true of them."""

    def __init__(self):
        rng = np.random.default_rng(7)
        self.volume = make_phantom(BOX, PIXEL)
        self.rotations = random_rotations(NUMBER, rng)
        self.shifts = rng.normal(0, 1.0, (NUMBER, 2))
        defocus = rng.uniform(8e3, 25e3, NUMBER)
        constants = [np.full(NUMBER, v) for v in (0.0, 300.0, 2.7, 0.1, 0.0)]
        self.ctf = CtfTable(defocus + 300, defocus - 300, rng.uniform(0, 180, NUMBER), *constants)
        model = ForwardModel([self.volume], BOX, PIXEL)
        pose = (
            np.zeros(NUMBER, np.int32),
            self.rotations.astype(np.float32),
            self.shifts.astype(np.float32),
        )
        self.clean = model.images(*pose, pack_ctf(self.ctf)).numpy()
        self.deviation = NOISE * self.clean.std(axis=(1, 2)).mean()
        self.noise = self.deviation * rng.standard_normal(self.clean.shape).astype(np.float32)
        self.points = FourierPoints(BOX)
        self.likelihood = PoseLikelihood(self.volume, self.points, PIXEL)
        self.radius = radius_of_gyration_px(self.volume.data)

    def observed(self, images):
        return observe(self.points, images, self.ctf, "raw", PIXEL)

    def spectra(self, amplitude=1.0):
        shells = np.full(self.points.number_of_shells, 1.0)
        return Spectra(amplitude * shells, (self.deviation * BOX) ** 2 * shells)

    def search(self, likelihood=None, spectra=None, **settings):
        return MultiStart(
            likelihood or self.likelihood,
            self.points,
            spectra or self.spectra(),
            self.radius,
            np.eye(3)[None],
            Settings(**settings),
        )

    def near(self, degrees=4.0, pixels=0.4, seed=1):
        rng = np.random.default_rng(seed)
        turn = Rotation.from_rotvec(
            np.deg2rad(degrees) / 3**0.5 * rng.standard_normal((NUMBER, 3))
        ).as_matrix()
        return GivenStarts(
            turn @ self.rotations, self.shifts + pixels * rng.standard_normal((NUMBER, 2))
        )(np.arange(NUMBER))

    def errors_deg(self, refined):
        return np.rad2deg(angular_distance_rad(refined.rotations, self.rotations))


@pytest.fixture(scope="module")
def scene():
    return Scene()


# -------------------------- the points ---------------------------------------
def test_points_are_half_the_plane_without_repetition():
    points = FourierPoints(16)
    both = np.concatenate([points.frequencies, -points.frequencies])
    assert len(np.unique(both, axis=0)) == len(both)
    k = np.arange(-8, 8)
    plane = np.stack(np.meshgrid(k, k), -1).reshape(-1, 2)
    size = np.hypot(*plane.T)
    assert len(both) == ((size < 8) & (size > 0)).sum()
    assert (np.diff(points.radius) >= 0).all()
    assert points.within(3.0) == (points.radius <= 3.0).sum()


def test_coefficients_are_those_of_the_fourier_transform_about_the_centre(rng):
    image = rng.standard_normal((1, 12, 12))
    points = FourierPoints(12)
    axis = np.arange(12) - 6
    kx, ky = points.frequencies.T
    waves = np.exp(
        -2j * np.pi / 12 * (kx[:, None, None] * axis + ky[:, None, None] * axis[:, None])
    )
    expected = (waves * image[0]).sum(axis=(1, 2))
    np.testing.assert_allclose(points.transform(image)[0], expected, atol=1e-4)


# -------------------------- the likelihood -----------------------------------
def test_the_gain_at_the_truth_is_the_closed_form(scene):
    """|y|^2 - |y - s m|^2 with the least-squares s, from images that the forward model made."""
    observed = scene.observed(scene.clean + scene.noise)
    gram = WhitenedImages(scene.likelihood, observed, scene.points, scene.spectra()).gram(BOX / 2)
    gain, scale, _, _ = profile(
        gram(scene.rotations, scene.shifts, np.arange(NUMBER)).astype(np.float64)
    )
    weight = np.sqrt(2.0) / (scene.deviation * BOX)
    m, y = (weight * scene.points.transform(a) for a in (scene.clean, scene.clean + scene.noise))
    overlap, power = (m.conj() * y).real.sum(axis=1), (np.abs(m) ** 2).sum(axis=1)
    np.testing.assert_allclose(scale, overlap / power, rtol=2e-3)
    left = (np.abs(y - (overlap / power)[:, None] * m) ** 2).sum(axis=1)
    np.testing.assert_allclose(gain, (np.abs(y) ** 2).sum(axis=1) - left, rtol=4e-3)


def test_gradient_and_curvature_agree_with_finite_differences(scene):
    """The Gauss-Newton matrix is the curvature where images are noise-free, so both are tested there."""
    observed = scene.observed(scene.clean)
    gram = WhitenedImages(scene.likelihood, observed, scene.points, scene.spectra()).gram(BOX / 2)
    rows, step = np.arange(24), 0.02

    def at(tangent):
        turned = (
            Rotation.from_rotvec(np.tile(tangent[:3], (len(rows), 1))).as_matrix()
            @ scene.rotations[rows]
        )
        inner = gram(turned, scene.shifts[rows] + tangent[3:], rows).astype(np.float64)
        return profile(inner)

    for axis in range(5):
        size = step if axis < 3 else 0.1
        tangent = np.zeros(5)
        tangent[axis] = size
        up, middle, down = (at(sign * tangent) for sign in (1, 0, -1))
        away = at(3 * tangent)[2][:, axis]
        difference = (at(3.5 * tangent)[0] - at(2.5 * tangent)[0]) / (2 * size)
        np.testing.assert_allclose(away, difference, atol=0.05 * np.abs(difference).max())
        curvature = -(up[0] - 2 * middle[0] + down[0]) / (2 * size**2)
        np.testing.assert_allclose(curvature, middle[3][:, axis, axis], rtol=0.15)


def test_the_scan_finds_the_shift(scene):
    observed = scene.observed(scene.clean + scene.noise)
    images = WhitenedImages(scene.likelihood, observed, scene.points, scene.spectra())
    poses = Poses(np.arange(NUMBER), scene.rotations, np.zeros((NUMBER, 2)))
    grid = shift_grid(4.0, 0.5)
    gain, best = images.scan(poses, grid, 12.0)
    assert np.quantile(np.abs(grid[best] - scene.shifts), 0.95) < 0.6
    exact = profile(
        images.gram(12.0)(scene.rotations, grid[best], np.arange(NUMBER)).astype(np.float64)
    )[0]
    np.testing.assert_allclose(gain, exact, rtol=1e-3)


# -------------------------- the search ---------------------------------------
def test_without_noise_the_truth_is_found(scene):
    refined = scene.search(search_shift_px=0.0).refine(scene.observed(scene.clean), scene.near())
    assert np.median(scene.errors_deg(refined)) < 0.15
    assert np.quantile(scene.errors_deg(refined), 0.95) < 0.5
    assert np.median(np.linalg.norm(refined.shifts_px - scene.shifts, axis=1)) < 0.01


def test_from_near_and_from_the_truth_the_same_optimum(scene):
    observed, search = scene.observed(scene.clean + scene.noise), scene.search(search_shift_px=0.0)
    near, truth = (search.refine(observed, poses) for poses in (scene.near(), scene.near(0.0, 0.0)))
    apart = np.rad2deg(angular_distance_rad(near.rotations, truth.rotations))
    assert np.median(apart) < 0.1
    assert (apart < 0.5).mean() > 0.95
    assert near.converged.mean() > 0.98


def test_errors_are_as_large_as_their_covariance_says(scene):
    """e^T C^-1 e is chi-square: with 5 degrees of freedom for pose and shift, mean 5, and 3 for the rotation alone."""
    refined = scene.search(search_shift_px=0.0).refine(
        scene.observed(scene.clean + scene.noise), scene.near(2.0, 0.2)
    )
    turn = Rotation.from_matrix(scene.rotations @ np.swapaxes(refined.rotations, 1, 2)).as_rotvec()
    error = np.concatenate([turn, scene.shifts - refined.shifts_px], axis=1)
    right = np.linalg.norm(turn, axis=1) < 0.1
    assert right.mean() > 0.97
    whole = np.einsum("bi,bij,bj->b", error, np.linalg.inv(refined.covariance), error)[right]
    angles = np.einsum("bi,bij,bj->b", turn, np.linalg.inv(refined.covariance[:, :3, :3]), turn)[
        right
    ]
    # standard errors of the means: sqrt(2 * 5 / 160) = 0.25 and sqrt(2 * 3 / 160) = 0.19
    assert 4.3 < whole.mean() < 6.0
    assert 2.4 < angles.mean() < 3.8


def test_residuals_are_one_for_noise_alone(scene):
    observed = scene.observed(scene.clean + scene.noise)
    refined = scene.search(search_shift_px=0.0).refine(observed, scene.near(1.0, 0.1))
    chi = residuals(scene.points, scene.spectra(), observed, refined)
    assert abs(chi.mean() - 1) < 0.01
    assert chi.std() < 0.1


def test_the_best_of_many_starts_wins_whatever_their_order(scene):
    rng = np.random.default_rng(2)
    wrong = random_rotations(4 * NUMBER, rng)
    near = scene.near(3.0, 0.0)
    particle = np.concatenate([np.repeat(np.arange(NUMBER), 4), near.particle])
    rotations = np.concatenate([wrong, near.rotations])
    order = rng.permutation(len(particle))
    starts = Poses(particle[order], rotations[order], np.zeros((len(particle), 2)))
    refined = scene.search(search_shift_px=4.0).refine(
        scene.observed(scene.clean + scene.noise), starts
    )
    assert (scene.errors_deg(refined) < 5).mean() > 0.97
    assert refined.basins.min() >= 1
    assert refined.wrong_basin.mean() < 0.02


def test_images_that_memory_refuses_together_get_the_same_poses_in_halves(scene, monkeypatch):
    from ...out_of_memory import refusal

    observed, starts = scene.observed(scene.clean + scene.noise), scene.near()
    whole = scene.search(search_shift_px=2.0).refine(observed, starts)
    likelihood = PoseLikelihood(scene.volume, scene.points, PIXEL)
    seen = []

    def refusing(original):
        def function(*arguments):
            images = arguments[-1]
            if len(images) > 50:
                raise refusal()
            seen.append(len(images))
            return original(*arguments)

        return function

    for name in ("scan", "gram"):
        monkeypatch.setattr(likelihood, name, refusing(getattr(likelihood, name)))
    halved = scene.search(likelihood, search_shift_px=2.0).refine(observed, starts)
    assert set(seen) == {40}
    assert likelihood.memory.largest == 40
    assert np.median(np.rad2deg(angular_distance_rad(halved.rotations, whole.rotations))) < 1e-4
    # rounding may move where an iteration ends, at the likelihood's small kinks
    assert np.abs(halved.gain - whole.gain).max() < 0.2
    np.testing.assert_array_equal(halved.basins, whole.basins)


def test_two_poses_that_cannot_be_told_apart_are_said_to_compete():
    """A volume with a two-fold axis that nobody mentioned: both poses fit, each with probability one half."""
    volume = make_phantom(32, PIXEL)
    turned = np.roll(volume.data[:, ::-1, ::-1], (1, 1), axis=(1, 2))
    twofold = Volume(((volume.data + turned) / 2).astype(np.float32), PIXEL)
    rng = np.random.default_rng(3)
    rotations, n = random_rotations(20, rng), 20
    model = ForwardModel([twofold], 32, PIXEL)
    clean = model.images(
        np.zeros(n, np.int32), rotations.astype(np.float32), np.zeros((n, 2), np.float32)
    ).numpy()
    deviation = clean.std()
    images = clean + deviation * rng.standard_normal(clean.shape).astype(np.float32)
    points = FourierPoints(32)
    spectra = Spectra(
        np.ones(points.number_of_shells), np.full(points.number_of_shells, (deviation * 32.0) ** 2)
    )
    likelihood = PoseLikelihood(twofold, points, PIXEL)
    other = rotations @ np.diag([-1.0, -1.0, 1.0])
    starts = Poses(
        np.tile(np.arange(n), 2), np.concatenate([rotations, other]), np.zeros((2 * n, 2))
    )
    observed = observe(points, images, None, "raw", PIXEL)
    radius = radius_of_gyration_px(twofold.data)
    blind = MultiStart(likelihood, points, spectra, radius, np.eye(3)[None], Settings(0.0)).refine(
        observed, starts
    )
    assert (blind.basins == 2).all()
    np.testing.assert_allclose(blind.wrong_basin, 0.5, atol=0.2)
    group = np.stack([np.eye(3), np.diag([-1.0, -1.0, 1.0])])
    told = MultiStart(likelihood, points, spectra, radius, group, Settings(0.0)).refine(
        observed, starts
    )
    assert (told.basins == 1).all()
    assert (told.wrong_basin == 0).all()


# -------------------------- what must not matter -----------------------------
def measured(scene, likelihood, images, poses, scale=None):
    from cryoposes_plugin.core.refinement.calibration import measure_spectra

    observed = scene.observed(images)
    return measure_spectra(
        likelihood, scene.points, observed, poses.rotations, poses.shifts_px, scale
    )


def test_a_map_times_a_thousand_changes_no_pose(scene):
    images, start = scene.clean + scene.noise, scene.near(3.0, 0.3)
    loud = PoseLikelihood(Volume(1000 * scene.volume.data, PIXEL), scene.points, PIXEL)
    results = []
    for likelihood in (scene.likelihood, loud):
        spectra = measured(scene, likelihood, images, start)
        search = scene.search(likelihood, spectra, search_shift_px=0.0)
        results.append(search.refine(scene.observed(images), start))
    apart = np.rad2deg(angular_distance_rad(results[0].rotations, results[1].rotations))
    assert np.median(apart) < 0.01
    assert np.quantile(apart, 0.95) < 0.1
    np.testing.assert_allclose(results[0].gain, results[1].gain, rtol=1e-2)


def test_a_spread_of_scales_biases_no_pose_and_is_measured(scene):
    """Signal and noise of each particle in its own unit: 30 % of spread in the signal."""
    scales = np.random.default_rng(4).normal(1, 0.3, NUMBER).clip(0.4, 2)
    images = scales[:, None, None] * scene.clean + scene.noise
    refined = scene.search(search_shift_px=0.0).refine(scene.observed(images), scene.near(3.0, 0.3))
    turn = Rotation.from_matrix(refined.rotations @ np.swapaxes(scene.rotations, 1, 2)).as_rotvec()
    right = np.linalg.norm(turn, axis=1) < 0.1
    assert right.mean() > 0.95
    error = np.sqrt(np.einsum("bii->bi", refined.covariance)[right, :3].mean(axis=0) / right.sum())
    assert (np.abs(turn[right].mean(axis=0)) < 4 * error).all()
    assert np.abs(refined.scale - scales).mean() < 0.1


@pytest.mark.parametrize("state", ["phase-flipped", "ctf-premultiplied"])
def test_images_in_another_state_give_the_same_poses(scene, state):
    raw = scene.clean + scene.noise
    changed = apply_image_state(raw, pack_ctf(scene.ctf), state, PIXEL).numpy()
    start, search = scene.near(2.0, 0.2), scene.search(search_shift_px=0.0)
    poses = [
        search.refine(observe(scene.points, images, scene.ctf, name, PIXEL), start).rotations
        for images, name in ((raw, "raw"), (changed, state))
    ]
    assert np.median(np.rad2deg(angular_distance_rad(*poses))) < 0.1


# -------------------------- spectra ------------------------------------------
def test_spectra_are_those_of_the_simulation(scene):
    at_truth = scene.near(0.0, 0.0)
    spectra = measured(scene, scene.likelihood, 3.0 * (scene.clean + scene.noise), at_truth)
    shells = slice(2, 12)
    np.testing.assert_allclose(spectra.amplitude[shells], 3.0, rtol=0.1)
    np.testing.assert_allclose(
        spectra.noise_variance[2:20], (3 * scene.deviation * BOX) ** 2, rtol=0.12
    )


def test_nothing_in_common_gives_no_amplitude(scene):
    spectra = measured(scene, scene.likelihood, scene.noise, scene.near(0.0, 0.0))
    assert spectra.last_shell <= 1


def test_agreement_is_standard_normal_for_noise_and_large_for_images(scene):
    """Noise at poses fitted to the map looks like it, but not in the coefficients that the fit did not see."""
    from cryoposes_plugin.core.refinement.calibration import agreement

    search = scene.search(search_shift_px=0.0)
    noise, images = (scene.observed(a) for a in (scene.noise, scene.clean + scene.noise))
    fitted = search.refine(noise, scene.near())
    assert fitted.gain.mean() > 3  # 0.5 at poses that were not fitted
    assert abs(agreement(search, noise, scene.near())) < 3.5
    assert agreement(search, images, scene.near()) > 50


def test_three_silent_shells_end_the_agreement():
    points = FourierPoints(32)
    sums = SpectraSums(points)
    model = np.ones((400, len(points)), np.complex64)
    rng = np.random.default_rng(0)
    observed = rng.standard_normal((400, len(points))) + 1j * rng.standard_normal(
        (400, len(points))
    )
    observed[:, (points.shell < 6) | (points.shell == 12)] += 2.0
    sums.add(model, observed, np.ones(400))
    spectra = sums.spectra()
    assert spectra.last_shell == 5
    assert spectra.up_to(3).last_shell == 3


# -------------------------- priors, hands, starts ----------------------------
def test_a_narrow_prior_holds_the_pose_and_a_wide_one_does_not(scene):
    observed, start = scene.observed(scene.clean + scene.noise), scene.near(3.0, 0.3)
    held, free, none = (
        scene.search(search_shift_px=0.0, prior=prior).refine(observed, start)
        for prior in (Prior(1e-5, 1e-5), Prior(1.0, 50.0), Prior())
    )
    assert np.rad2deg(angular_distance_rad(held.rotations, start.rotations)).max() < 0.01
    assert np.abs(held.shifts_px - start.shifts_px).max() < 0.01
    assert np.median(np.rad2deg(angular_distance_rad(free.rotations, none.rotations))) < 0.05


def test_the_hand_of_given_poses_is_told(scene):
    images = scene.observed(scene.clean + scene.noise)
    start = scene.near(1.0, 0.1)
    arguments = (scene.points, PIXEL, images, start, BOX // 2 - 1)
    assert compare_hands(scene.volume, *arguments).verdict == "same"
    other = compare_hands(scene.volume.mirrored(), *arguments)
    assert other.verdict == "opposite"
    assert "mirror" in other.statement
    assert HandTest(0.0, 0.0, 0.0).verdict == "open"
    few = start.take(start.particle < 1)
    assert (
        compare_hands(scene.volume, scene.points, PIXEL, images.take(slice(0, 1)), few, 19).verdict
        == "open"
    )


def test_no_hand_is_told_where_neither_fits(scene):
    images = scene.observed(scene.clean + scene.noise)
    for seed in range(4):
        start = scene.near(0.0, 0.0)
        start.rotations = random_rotations(NUMBER, np.random.default_rng(seed))
        test = compare_hands(scene.volume, scene.points, PIXEL, images, start, 19)
        assert test.verdict == "undecided"
        assert "no poses of these particles" in test.statement
    start.rotations = np.tile(np.eye(3), (NUMBER, 1, 1))
    assert (
        compare_hands(scene.volume, scene.points, PIXEL, images, start, 19).verdict == "undecided"
    )


@pytest.mark.parametrize("degrees", [5.0, 25.0])
def test_the_hand_of_coarse_poses_is_told(scene, degrees):
    images, start = scene.observed(scene.clean + scene.noise), scene.near(degrees, 0.5)
    assert compare_hands(scene.volume, scene.points, PIXEL, images, start, 19).verdict == "same"


def test_right_poses_are_told_among_images_of_something_else(scene):
    images, start = scene.clean + scene.noise, scene.near(1.0, 0.1)
    images[8:] = scene.noise[8:]
    test = compare_hands(scene.volume, scene.points, PIXEL, scene.observed(images), start, 19)
    assert test.verdict == "same"
    images[8:] = 0
    assert (
        compare_hands(scene.volume, scene.points, PIXEL, scene.observed(images), start, 19).verdict
        == "same"
    )


def test_of_one_particle_the_hand_is_not_said_to_fit_alike(scene):
    assert "too few" in HandTest(130.0, 100.0, np.inf).statement


def test_a_hand_needs_an_effect_as_well_as_significance():
    assert HandTest(130.0, 100.0, 1.0, 100.0, 5.0).verdict == "same"
    assert HandTest(100.0, 130.0, 1.0, 100.0, 5.0).verdict == "opposite"
    assert HandTest(115.0, 100.0, 1.0, 100.0, 5.0).verdict == "open"
    assert HandTest(130.0, 100.0, 8.0, 100.0, 5.0).verdict == "open"
    assert HandTest(130.0, 100.0, 1.0, 19.0, 5.0).verdict == "undecided"
    assert HandTest(130.0, 100.0, np.inf).verdict == "open"


def test_mirroring_twice_changes_nothing(scene):
    again = scene.volume.mirrored().mirrored().data
    np.testing.assert_array_equal(again[1:], scene.volume.data[1:])


def test_turns_fill_the_ball():
    turns = turns_around(10.0, 200)
    angle = np.rad2deg(angular_distance_rad(turns, np.eye(3)[None]))
    assert angle[0] == 0
    assert angle.max() <= 10.0 + 1e-9
    # uniform in volume: half of the points lie beyond 10 / 2^(1/3) degrees
    assert abs((angle[1:] > 10 / 2 ** (1 / 3)).mean() - 0.5) < 0.05
    mean = Rotation.from_matrix(turns).as_rotvec().mean(axis=0)
    assert np.rad2deg(np.linalg.norm(mean)) < 1.0


def test_shift_grid_and_stages():
    grid = shift_grid(3.0, 1.0)
    assert len(grid) == 29
    assert (grid[0] == 0).all()
    assert np.linalg.norm(grid, axis=1).max() == 3.0
    assert len(shift_grid(0.0, 1.0)) == 1
    radii = stage_radii(64, 14.0, 31)
    assert radii == sorted(radii)
    assert radii[-1] == 31
    assert radii[0] < 16
    assert stage_radii(64, 14.0, 5) == [5.0]


def test_a_flat_image_has_no_gain_and_breaks_nothing(scene):
    images = (scene.clean + scene.noise).copy()
    images[0] = 0.0
    refined = scene.search(search_shift_px=0.0).refine(scene.observed(images), scene.near(1.0, 0.1))
    assert refined.gain[0] == 0
    assert refined.scale[0] == 0
    assert np.isfinite(refined.covariance).all()
    assert np.isfinite(refined.rotations).all()
    # of its pose nothing is known: the expected error is that of a rotation drawn at random
    expected = np.sqrt(np.einsum("bii->bi", refined.covariance)[:, :3].sum(axis=1))
    drawn = angular_distance_rad(random_rotations(20000, np.random.default_rng(2)), np.eye(3)[None])
    assert expected[0] == pytest.approx(np.sqrt(np.mean(drawn**2)), rel=0.01)
    assert not refined.converged[0]
    assert np.rad2deg(expected[1:]).max() < 15


def test_images_that_do_not_fit_at_any_pose_are_not_the_surest(scene):
    images = (scene.clean + scene.noise).copy()
    images[:30] = -images[:30]
    refined = scene.search(search_shift_px=0.0).refine(scene.observed(images), scene.near(1.0, 0.1))
    silent = refined.scale[:30] == 0
    assert silent.sum() >= 5
    expected = np.einsum("bii->bi", refined.covariance)[:, :3].sum(axis=1)
    assert expected[:30][silent].min() > 1.0 > expected[30:].max()


def test_a_solvent_that_is_not_zero_changes_nothing(scene):
    """It would be a cube that turns with the map."""
    lifted = PoseLikelihood(Volume(scene.volume.data + 5.0, PIXEL), scene.points, PIXEL)
    number = len(scene.points)
    slices, plain = (
        like.slices(scene.rotations[:4], number) for like in (lifted, scene.likelihood)
    )
    np.testing.assert_allclose(slices, plain, atol=1e-3 * np.abs(plain).max())
    pose = (
        np.zeros(4, np.int32),
        scene.rotations[:4].astype(np.float32),
        np.zeros((4, 2), np.float32),
    )
    models = [
        ForwardModel([v], BOX, PIXEL)
        for v in (Volume(scene.volume.data + 5.0, PIXEL), scene.volume)
    ]
    images, before = (model.images(*pose).numpy() for model in models)
    np.testing.assert_allclose(images, before, atol=1e-3 * before.max())


def test_levenberg_marquardt_solves_a_quadratic_in_one_step():
    """Inner products of a model that is linear in the tangent: the optimum is the normal equations' solution."""
    rng = np.random.default_rng(5)
    jacobian, model = rng.standard_normal((5, 60)), 10 * rng.standard_normal(60)
    target = np.array([0.01, -0.02, 0.015, 0.1, -0.2])

    def gram(rotations, shifts, particle):
        turn = Rotation.from_matrix(rotations).as_rotvec()
        out = []
        for tangent in np.concatenate([turn, shifts], axis=1):
            m = model + tangent @ jacobian
            out.append(np.stack([*jacobian, m, model + target @ jacobian]))
        rows = np.array(out)
        return rows @ np.swapaxes(rows, 1, 2)

    start = Poses(np.zeros(1, int), np.eye(3)[None], np.zeros((1, 2)))
    found = levenberg_marquardt(gram, start, 20)
    tangent = np.concatenate(
        [Rotation.from_matrix(found.rotations).as_rotvec()[0], found.shifts_px[0]]
    )
    np.testing.assert_allclose(tangent, target, atol=2e-3)
    assert found.converged[0]
