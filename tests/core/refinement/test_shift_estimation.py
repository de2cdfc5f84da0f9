"""Shifts by correlation with reprojections: exact without noise, good with it, robust to poses that
are off.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.maps.size import radius_of_gyration_px
from cryoposes_plugin.core.refinement.shift_estimation import estimate_shifts
from cryoposes_plugin.core.refinement.shift_weights import measured_weights, prior_weights

from ...particle_sets import make_ctf

NUMBER = 96


def displaced(image, shift):
    """(D, D) moved by (x, y) pixels, exactly, for band-limited images."""
    box = image.shape[-1]
    ky, kx = np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)
    return np.fft.irfft2(
        np.fft.rfft2(image) * np.exp(-2j * np.pi * (kx * shift[0] + ky * shift[1])), s=image.shape
    )


def blob(box, rng):
    axis = np.arange(box) - box // 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return sum(
        a * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8)
        for a, cx, cy in rng.uniform([0.5, -6, -6], [2, 6, 6], (5, 3))
    )


@pytest.mark.parametrize("box", [32, 47])
@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (0.37, -0.81), (-4.06, 1.5), (5.0, 0.03)])
def test_a_known_displacement_whatever_scale_and_offset(rng, box, shift):
    template = blob(box, rng)
    found = estimate_shifts((7 + 0.1 * displaced(template, shift))[None], template[None], 6.0)
    np.testing.assert_allclose(found.shifts_px[0], shift, atol=0.01)
    assert found.correlation[0] == pytest.approx(1, abs=1e-3)
    assert not found.at_edge[0]


def test_the_search_stays_within_its_radius(rng):
    template = blob(32, rng)
    images = np.stack([displaced(template, (5, 0)), displaced(template, (0.2, 0.1))])
    found = estimate_shifts(images, np.stack([template] * 2), 3.0)
    assert np.linalg.norm(found.shifts_px, axis=1).max() <= 3.0 + 1e-9
    np.testing.assert_array_equal(found.at_edge, [True, False])
    assert not estimate_shifts(images, np.stack([template] * 2), 0.0).shifts_px.any()


def test_nothing_to_see_gives_zero(rng):
    template = blob(32, rng)[None]
    for image, reference in (
        (np.full((1, 32, 32), 3.0), template),
        (template, np.zeros((1, 32, 32))),
    ):
        found = estimate_shifts(image, reference, 4.0)
        assert not found.shifts_px.any()
        assert found.correlation[0] == 0
        assert not found.at_edge[0]


@pytest.fixture(scope="module")
def scene():
    """Images at SNR 0.4 with CTF, their true shifts, and a function that makes reprojections at
    poses that are off.
    """
    pytest.importorskip("tensorflow")
    from cryoposes_plugin.core.imaging.forward_model import ForwardModel, pack_ctf
    from cryoposes_plugin.core.refinement.shift_finder import ShiftFinder

    volume = make_phantom(48, 5.0)
    rng = np.random.default_rng(11)
    rotations, shifts, ctf = (
        random_rotations(NUMBER, rng),
        rng.normal(0, 1.5, (NUMBER, 2)),
        make_ctf(NUMBER),
    )
    model = ForwardModel([volume], 48, 5.0)
    clean = model.images(
        np.zeros(NUMBER, np.int32),
        rotations.astype(np.float32),
        shifts.astype(np.float32),
        pack_ctf(ctf),
    ).numpy()
    noisy = clean + rng.standard_normal(clean.shape) * np.sqrt(clean.var(axis=(1, 2)).mean() / 0.4)
    finder = ShiftFinder(volume, 48, 5.0, 8.0, batch_size=40)

    def reprojections(error_deg):
        axes = rng.standard_normal((NUMBER, 3))
        axes *= np.deg2rad(error_deg) / np.linalg.norm(axes, axis=1, keepdims=True)
        return finder.reprojections(Rotation.from_rotvec(axes).as_matrix() @ rotations, ctf, "raw")

    return clean, noisy, shifts, reprojections, finder


def median_error(images, reprojections, shifts, weights=None):
    return np.median(
        np.linalg.norm(
            estimate_shifts(images, reprojections, 8.0, weights).shifts_px - shifts, axis=1
        )
    )


def test_through_the_forward_model_without_and_with_noise(scene):
    clean, noisy, shifts, reprojections, _ = scene
    exact = np.linalg.norm(estimate_shifts(clean, reprojections(0), 8.0).shifts_px - shifts, axis=1)
    assert exact.max() < 0.05
    assert median_error(noisy, reprojections(0), shifts) < 0.15


def test_measured_weights_help_where_poses_are_off_and_do_no_harm_where_not(scene):
    _, noisy, shifts, reprojections, finder = scene
    for error_deg, factor in ((0, 1.1), (25, 0.95)):
        guess = reprojections(error_deg)
        weights = measured_weights(noisy, guess, 8.0, finder.weights)
        assert weights.shape == (48, 25)
        assert weights.max() == 1
        assert (weights >= 0).all()
        assert median_error(noisy, guess, shifts, weights) < factor * median_error(
            noisy, guess, shifts
        )


def test_few_images_keep_the_prior(scene):
    _, noisy, _, reprojections, finder = scene
    assert measured_weights(noisy[:5], reprojections(0)[:5], 8.0, finder.weights) is finder.weights


def test_one_image_is_what_it_is_in_a_batch(scene):
    _, noisy, _, reprojections, finder = scene
    guess = reprojections(0)
    together = estimate_shifts(noisy, guess, 8.0, finder.weights).shifts_px
    np.testing.assert_allclose(
        estimate_shifts(noisy[50:51], guess[50:51], 8.0, finder.weights).shifts_px[0],
        together[50],
        atol=1e-4,
    )


def test_radius_of_gyration_of_a_ball():
    axis = np.arange(48) - 24
    ball = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 <= 15**2).astype(float)
    assert radius_of_gyration_px(ball) == pytest.approx(15 * np.sqrt(3 / 5), rel=0.02)
    weights = prior_weights(48, 11.0)
    assert weights[0, 0] == 1
    assert weights[0, 24] < weights[0, 3] < 1
