"""Rotations from distances: exact ones give them exactly, noisy ones come near the bound, and
failure is seen.
"""

import numpy as np
import pytest

from cryoposes_plugin.core.conventions import quaternions_to_rotations, rotations_to_quaternions
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.evaluation.orthogonal4 import register_orthogonal4
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import euler_uniform, hemisphere, random_rotations
from cryoposes_plugin.core.recovery.least_squares import refine
from cryoposes_plugin.core.recovery.minibatch import loss_and_gradient, minibatch_rotations
from cryoposes_plugin.core.recovery.pairs import landmark_pairs, pairs_from_arrays
from cryoposes_plugin.core.recovery.references import rotations_from_references
from cryoposes_plugin.core.recovery.solve import against_known, outliers, recover_rotations
from cryoposes_plugin.core.recovery.spectral import spectral_rotations

#: Mean length of three standard normal numbers: mean angle of rotations whose components have unit
#: deviation.
MEAN_OF_CHI3 = np.sqrt(8 / np.pi)


def distances(rotations, i, j):
    return angular_distance_rad(rotations[i], rotations[j])


def all_pairs(rotations, errors=0.0, **options):
    i, j = np.triu_indices(len(rotations), 1)
    return pairs_from_arrays(i, j, distances(rotations, i, j) + errors, **options)


def random_pairs(rotations, a_particle, rng, sigma=0.0):
    n = len(rotations)
    key = np.unique(np.sort(rng.integers(0, n, (n * a_particle // 2, 2)), axis=1) @ [n, 1])
    i, j = key // n, key % n
    return pairs_from_arrays(
        i, j, distances(rotations, i, j) + rng.normal(0, sigma, len(i)) * (i != j), number=n
    )


def error_rad(recovery, rotations):
    return register_orthogonal4(recovery.rotations, rotations).mean_residual_rad


@pytest.mark.parametrize("number", [12, 24, 200])
def test_all_exact_distances_of_few(rng, number):
    rotations = random_rotations(number, rng)
    result = recover_rotations(all_pairs(rotations))
    assert error_rad(result, rotations) < 1e-6
    assert result.loss_rad < 1e-6
    assert result.residual_rad.max() < 1e-5
    np.testing.assert_allclose(
        result.rotations @ np.swapaxes(result.rotations, 1, 2) - np.eye(3), 0, atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(result.rotations), 1)


@pytest.mark.parametrize("orientations", [random_rotations, euler_uniform, hemisphere])
def test_landmark_columns(rng, orientations):
    rotations = orientations(1500, rng)
    pairs = landmark_pairs(lambda i, j: angular_distance_rad(rotations[i], rotations[j]), 1500, 60)
    assert error_rad(recover_rotations(pairs), rotations) < 1e-6


def test_landmarks_that_were_not_measured_against_each_other(rng):
    rotations = random_rotations(400, rng)
    i, j = (index.ravel() for index in np.meshgrid(np.arange(350), np.arange(350, 400)))
    assert (
        error_rad(recover_rotations(pairs_from_arrays(i, j, distances(rotations, i, j))), rotations)
        < 1e-6
    )


def test_sparse_pairs_at_random(rng):
    rotations = random_rotations(500, rng)
    result = recover_rotations(random_pairs(rotations, 50, rng))
    assert error_rad(result, rotations) < 1e-6
    assert result.held_out_ratio < 1.1


def test_noise_whose_size_is_not_told_comes_near_the_bound(rng):
    """Each distance tells one of three angles: the Cramer-Rao bound is sqrt(3 / N) sigma a
    component.
    """
    rotations = random_rotations(500, rng)
    sigma = np.sqrt(0.8)
    result = recover_rotations(all_pairs(rotations, rng.normal(0, sigma, 500 * 499 // 2)))
    bound = sigma * np.sqrt(3 / 500) * MEAN_OF_CHI3
    assert 0.9 * bound < error_rad(result, rotations) < 1.15 * bound
    assert result.noise_rad == pytest.approx(sigma, rel=0.03)
    assert np.sqrt(np.mean(result.expected_error_rad**2)) == pytest.approx(
        3 * sigma / np.sqrt(500), rel=0.1
    )


def test_the_spectral_estimate_tells_how_much_noise_shrinks_the_cosine(rng):
    rotations = random_rotations(500, rng)
    for variance in (0.0, 0.2, 0.8):
        pairs = all_pairs(rotations, rng.normal(0, np.sqrt(variance), 500 * 499 // 2))
        assert spectral_rotations(pairs, rng).rho == pytest.approx(np.exp(-variance / 2), abs=0.03)


def test_an_error_common_to_all_distances_of_an_image(rng):
    rotations = random_rotations(400, rng)
    i, j = np.triu_indices(400, 1)
    offset = rng.normal(0, 0.45, 400)
    errors = offset[i] + offset[j] + rng.normal(0, 0.3, len(i))
    pairs = all_pairs(rotations, errors)
    result = recover_rotations(pairs)
    assert error_rad(result, rotations) < 1.2 * 0.3 * np.sqrt(3 / 400) * MEAN_OF_CHI3
    assert np.corrcoef(result.offset_rad, offset)[0, 1] > 0.99
    without = refine(pairs, rotations_to_quaternions(result.rotations), offsets=False)
    assert without.scale_rad > 1.5 * result.noise_rad


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_all_others_against_landmarks_that_were_recovered_first(rng, missing):
    """Errors that the images' distances share are far larger than a start that knows nothing of
    them can bear.
    """
    rotations = random_rotations(900, rng)
    i, j = np.triu_indices(900, 1)
    keep = rng.random(len(i)) >= missing
    i, j = i[keep], j[keep]
    offset = rng.normal(0, 0.6, 900)
    errors = offset[i] + offset[j] + rng.normal(0, 0.3, len(i))
    result = recover_rotations(pairs_from_arrays(i, j, distances(rotations, i, j) + errors))
    assert (
        error_rad(result, rotations) < 1.2 * 0.3 * np.sqrt(3 / 900 / (1 - missing)) * MEAN_OF_CHI3
    )
    assert np.corrcoef(result.offset_rad, offset)[0, 1] > 0.99


def test_outliers_are_seen_and_do_not_harm(rng):
    rotations = random_rotations(400, rng)
    pairs = all_pairs(rotations, rng.normal(0, 0.1, 400 * 399 // 2))
    junk = np.arange(400) < 20
    rows = junk[pairs.first()] | junk[pairs.second]
    pairs.distance_rad[rows] = rng.uniform(0, np.pi, rows.sum())
    result = recover_rotations(pairs)
    good = register_orthogonal4(result.rotations[~junk], rotations[~junk]).mean_residual_rad
    assert good < 1.3 * 0.1 * np.sqrt(3 / 380) * MEAN_OF_CHI3
    assert set(np.argsort(-result.residual_rad)[:20]) == set(np.flatnonzero(junk))
    assert outliers(result.residual_rad, pairs.degrees)[junk].all()


def test_weights_count(rng):
    rotations = random_rotations(300, rng)
    sigma = np.where(rng.random(300 * 299 // 2) < 0.5, 0.05, 0.8)
    errors = sigma * rng.standard_normal(len(sigma))
    plain = error_rad(recover_rotations(all_pairs(rotations, errors)), rotations)
    weighted = error_rad(
        recover_rotations(all_pairs(rotations, errors, weight=sigma**-2)), rotations
    )
    assert weighted < 0.6 * plain


@pytest.mark.parametrize("number, share", [(100, 0.6), (300, 0.6)])
def test_pairs_of_next_to_no_weight_have_no_say(rng, number, share):
    rotations = random_rotations(number, rng)
    junk = rng.random(number * (number - 1) // 2) < share
    errors = np.where(junk, rng.uniform(-2, 2, len(junk)), 0.0)
    pairs = all_pairs(rotations, errors, weight=np.where(junk, 1e-6, 1.0))
    result = recover_rotations(pairs)
    assert error_rad(result, rotations) < 1e-3
    assert result.loss_rad < 1e-4
    truth = rotations_to_quaternions(rotations)
    fit = minibatch_rotations(pairs, start=truth, steps=300, learning_rate=0.01)
    assert (
        register_orthogonal4(quaternions_to_rotations(fit.quaternions), rotations).mean_residual_rad
        < 0.06
    )


@pytest.mark.parametrize("distances_a_particle, hubs", [(6, None), (None, 5), (None, 8)])
def test_too_few_distances_to_start_from_are_told(rng, distances_a_particle, hubs):
    rotations, n = random_rotations(100, rng), np.arange(100)
    if hubs:
        i, j = (a.ravel() for a in np.meshgrid(np.arange(hubs), n, indexing="ij"))
        i, j = i[i < j], j[i < j]
    else:
        step = np.arange(1, distances_a_particle // 2 + 1)
        i, j = np.repeat(n, len(step)), (n[:, None] + step).ravel() % 100
    with pytest.raises(
        InputError, match=r"of 100 particles have 10 distances or more, which is too few"
    ):
        recover_rotations(pairs_from_arrays(i, j, distances(rotations, i, j)))


def test_a_dozen_hubs_are_enough(rng):
    """A few distances leave a second place to some particle now and then: the median."""
    rotations = random_rotations(100, rng)
    i, j = (a.ravel() for a in np.meshgrid(np.arange(12), np.arange(100), indexing="ij"))
    i, j = i[i < j], j[i < j]
    result = recover_rotations(pairs_from_arrays(i, j, distances(rotations, i, j)))
    assert np.median(result.residual_rad) < 1e-3
    assert error_rad(result, rotations) < 0.1


def test_particles_without_landmarks_among_their_distances_start_somewhere_definite(
    rng, monkeypatch
):
    """Landmarks with offsets of their own, and five particles that were measured against other
    particles only.
    """
    known = rotations_to_quaternions(random_rotations(20, rng))
    measured = np.abs(rng.standard_normal((8, 20)))
    measured[:5] = np.nan
    monkeypatch.setattr(np, "empty", lambda *a, **k: np.full(*a, 1e200))
    quaternions, offsets = against_known(measured, known, 0.2)
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1.0, atol=1e-9)
    assert (offsets[:5] == 0).all()
    assert offsets[5:].all()


def test_the_pose_of_a_particle_does_not_depend_on_how_many_are_beside_it(rng):
    references, rotations = random_rotations(100, rng), random_rotations(300, rng)
    d = (
        angular_distance_rad(rotations[:, None], references[None])
        + rng.normal(0, 0.25, (300, 1))
        + rng.normal(0, 0.1, (300, 100))
    )
    many, few = (
        rotations_from_references(d, references),
        rotations_from_references(d[:10], references),
    )
    assert np.rad2deg(angular_distance_rad(many[0][:10], few[0])).max() < 1.0
    np.testing.assert_allclose(many[1][:10], few[1], rtol=0.1)
    assert np.rad2deg(angular_distance_rad(many[0], rotations)).mean() < 2.5


def test_too_few_distances_for_their_noise_are_told_by_those_held_out(rng):
    rotations = random_rotations(200, rng)
    result = recover_rotations(random_pairs(rotations, 20, rng, sigma=0.9))
    assert error_rad(result, rotations) > 0.8
    assert result.held_out_ratio > 1.3


def test_the_same_seed_gives_the_same_rotations(rng):
    pairs = random_pairs(random_rotations(300, rng), 60, rng, sigma=0.2)
    first, second = recover_rotations(pairs, seed=4), recover_rotations(pairs, seed=4)
    np.testing.assert_array_equal(first.rotations, second.rotations)


def test_gradient_of_the_minibatch_loss(rng):
    q = rng.standard_normal((5, 4))
    i, j, d = np.array([0, 1, 2, 0]), np.array([1, 2, 3, 4]), np.array([0.5, 1.0, 2.0, -0.2])
    w = np.array([1.0, 0.3, 2.0, 0.7])
    _, gradient = loss_and_gradient(q, i, j, d, w)
    for at in np.ndindex(5, 4):
        step = np.zeros((5, 4))
        step[at] = 1e-6
        numeric = (
            loss_and_gradient(q + step, i, j, d, w)[0] - loss_and_gradient(q - step, i, j, d, w)[0]
        ) / 2e-6
        assert gradient[at] == pytest.approx(numeric, abs=1e-7)


def test_the_minibatch_method_converges(rng):
    rotations = random_rotations(200, rng)
    pairs = all_pairs(rotations)
    fit = minibatch_rotations(pairs, steps=4000)
    assert (
        register_orthogonal4(quaternions_to_rotations(fit.quaternions), rotations).mean_residual_rad
        < 0.15
    )
    started = minibatch_rotations(pairs, start=rotations_to_quaternions(rotations), steps=0)
    assert started.loss_rad < 1e-7


@pytest.mark.parametrize(
    "variance, least_squares, largest_deg",
    [(0.0, False, 1e-5), (0.8, False, 9.0), (0.8, True, 7.0)],
)
def test_references_of_known_rotation_leave_no_gauge(rng, variance, least_squares, largest_deg):
    rotations, references = random_rotations(150, rng), random_rotations(500, rng)
    d = angular_distance_rad(rotations[:, None], references[None]) + rng.normal(
        0, np.sqrt(variance), (150, 500)
    )
    found, residuals = rotations_from_references(d, references, least_squares=least_squares)
    assert np.rad2deg(angular_distance_rad(found, rotations).mean()) < largest_deg
    assert residuals.mean() == pytest.approx(np.sqrt(variance), abs=0.02)


def test_references_that_do_not_fit_are_refused(rng):
    with pytest.raises(ValueError, match="K >= 10"):
        rotations_from_references(np.ones((4, 5)), random_rotations(5, rng))
    d = np.ones((3, 12))
    d[1, 2] = np.nan
    with pytest.raises(ValueError, match="1 that are not"):
        rotations_from_references(d, random_rotations(12, rng))
