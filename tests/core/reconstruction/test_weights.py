"""Weights by the errors of poses against closed forms, random displacements and exact projections."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.reconstruction.fourier_method import fourier_maps
from cryoposes_plugin.core.reconstruction.particles import ReconstructionParticles
from cryoposes_plugin.core.reconstruction.weights import (
    PoseWeights,
    blur_of_covariance,
    blur_of_errors,
    pose_weights,
)

from ...exact_projections import exact_projections, particle_set

BOX, PIXEL = 32, 5.0


def spread(rng, number, size, scale):
    root = rng.normal(0, scale, (number, size, size))
    return root @ np.swapaxes(root, 1, 2)


def test_the_attenuation_is_that_of_density_moved_at_random(rng):
    """A Gaussian ball of density, turned and shifted by random errors of one covariance."""
    covariance = np.zeros((1, 5, 5))
    covariance[0, :3, :3] = np.diag([0.02, 0.05, 0.08]) ** 2
    covariance[0, 3:, 3:] = [[4.0, 1.0], [1.0, 2.0]]
    radius = 60.0
    errors = rng.multivariate_normal(np.zeros(5), covariance[0], 200_000)
    density = rng.normal(0, radius / np.sqrt(3), (200_000, 3))
    moved = np.cross(errors[:, :3], density)[:, :2] + errors[:, 3:]
    weights = pose_weights(1, None, blur_of_covariance(covariance, radius))
    for fx, fy in ((0.03, 0.0), (0.0, 0.03), (0.02, -0.02)):
        expected = np.cos(2 * np.pi * (moved @ [fx, fy])).mean()
        found = weights.attenuation(np.array([0]), np.array([fx]), np.array([fy]))[0, 0]
        assert found == pytest.approx(expected, abs=0.02)
        assert found < 0.95


def test_equal_errors_in_all_directions_have_one_number():
    """R^2 / 3 (1 - 1/3) e^2 + t^2 / 2 along every direction."""
    blur = blur_of_errors(np.array([0.03]), np.array([2.0]), 80.0)
    np.testing.assert_allclose(blur[0], (2 / 9 * 80.0**2 * 0.03**2 + 2.0) * np.eye(2), atol=1e-12)


def test_the_effective_number_counts_squares_over_the_circle(rng):
    probability = rng.uniform(0, 1, 7)
    weights = PoseWeights(probability, spread(rng, 7, 2, 1.5))
    assert weights.effective_number(0.0) == pytest.approx((probability**2).sum())
    phi = np.linspace(0, 2 * np.pi, 721)[:-1]
    a = weights.attenuation(np.arange(7), 0.05 * np.cos(phi), 0.05 * np.sin(phi))
    assert weights.effective_number(0.05) == pytest.approx((a**2).mean(axis=1).sum(), rel=1e-4)


def test_what_all_particles_lose_alike_is_not_undone(rng):
    weights = pose_weights(5, np.full(5, 0.4), np.tile(3 * np.eye(2), (5, 1, 1)))
    f = rng.uniform(-0.08, 0.08, (2, 50))
    relative = weights.relative_attenuation(np.arange(5), *f)
    np.testing.assert_allclose(relative, 1, atol=2e-3)


def test_weights_improve_a_map_of_particles_of_which_half_are_badly_posed(
    asymmetric_volume, tmp_path
):
    """Half of the poses are off by 9° rms, and of those a third is random."""
    volume = asymmetric_volume.data[8:40, 8:40, 8:40]
    rng = np.random.default_rng(4)
    number = 400
    rotations = random_rotations(number, rng)
    images = exact_projections(volume, rotations, np.zeros((number, 2)))
    images = images + rng.normal(0, 2 * images.std(), images.shape).astype(np.float32)
    error = np.where(np.arange(number) % 2, np.deg2rad(9), 0.0)
    off = Rotation.from_rotvec(rng.normal(0, 1, (number, 3)) * error[:, None] / np.sqrt(3))
    given = off.as_matrix() @ rotations
    unsure = np.arange(number) % 6 == 1
    given[unsure] = random_rotations(int(unsure.sum()), rng)
    _, table = particle_set(tmp_path, images, given, np.zeros((number, 2)), PIXEL)

    particles = ReconstructionParticles.on_common_grid(table, 1 + np.arange(number) // 200)
    radius = 0.3 * BOX * PIXEL
    weights = pose_weights(
        number, np.where(unsure, 0.02, 1.0), blur_of_errors(error, 0 * error, radius)
    )
    plain = fourier_maps(particles).full
    better = fourier_maps(dataclasses.replace(particles, weights=weights)).full
    gain = fourier_shell_correlation(better, volume) - fourier_shell_correlation(plain, volume)
    assert gain[4:13].min() > -0.01
    assert gain[4:13].mean() > 0.02


def test_equal_weights_leave_the_map_as_it_is(asymmetric_volume, tmp_path, rng):
    volume = asymmetric_volume.data[8:40, 8:40, 8:40]
    rotations = random_rotations(60, rng)
    images = exact_projections(volume, rotations, np.zeros((60, 2)))
    _, table = particle_set(tmp_path, images, rotations, np.zeros((60, 2)), PIXEL)
    particles = ReconstructionParticles.on_common_grid(table, 1 + np.arange(60) % 2)
    weights = pose_weights(60, np.full(60, 0.3), np.tile(4 * np.eye(2), (60, 1, 1)))
    plain = fourier_maps(particles).full
    weighted = fourier_maps(dataclasses.replace(particles, weights=weights)).full
    assert np.linalg.norm(weighted - plain) < 0.01 * np.linalg.norm(plain)
