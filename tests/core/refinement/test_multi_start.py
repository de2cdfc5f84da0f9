"""The search around several starts: convergence, covariance, competing poses, and what must not
change a pose.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("tensorflow")

from cryoposes_plugin.core.fourier.ctf import pack_ctf
from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.forward_model import ForwardModel, apply_image_state
from cryoposes_plugin.core.likelihood.pose_likelihood import PoseLikelihood
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.maps.size import radius_of_gyration_px
from cryoposes_plugin.core.refinement.multi_start import MultiStart, Settings
from cryoposes_plugin.core.refinement.observations import observe
from cryoposes_plugin.core.refinement.poses import Poses
from cryoposes_plugin.core.refinement.refinement import residuals
from cryoposes_plugin.core.refinement.spectra import Spectra
from cryoposes_plugin.core.types import Volume

from .scene import BOX, NUMBER, PIXEL, measured


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
    """e^T C^-1 e is chi-square: with 5 degrees of freedom for pose and shift, mean 5, and 3 for the
    rotation alone.
    """
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
            *_, images, _ = arguments
            number = len(images.modulation)
            if number > 50:
                raise refusal()
            seen.append(number)
            return original(*arguments)

        return function

    monkeypatch.setattr(likelihood, "gram", refusing(likelihood.gram))
    halved = scene.search(likelihood, search_shift_px=2.0).refine(observed, starts)
    assert set(seen) == {40}
    assert likelihood.memory.largest == 40
    assert np.median(np.rad2deg(angular_distance_rad(halved.rotations, whole.rotations))) < 1e-4
    # rounding may move where an iteration ends, at the likelihood's small kinks
    assert np.abs(halved.gain - whole.gain).max() < 0.2
    np.testing.assert_array_equal(halved.basins, whole.basins)


def test_two_poses_that_cannot_be_told_apart_are_said_to_compete():
    """A volume with a two-fold axis that nobody mentioned: both poses fit, each with probability
    one half.
    """
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
