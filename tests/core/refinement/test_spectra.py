"""Spectra of signal and noise that are measured from images at given poses."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.refinement.calibration import calibrate
from cryoposes_plugin.core.refinement.scales import right_by_scale, scale_spread, typical_scale
from cryoposes_plugin.core.refinement.spectra import ShellProducts, first_spectra, fitted_spectra
from cryoposes_plugin.core.refinement.starts import GivenStarts

from .scene import BOX, NUMBER, measured


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
    """Noise at poses fitted to the map looks like it, but not in the coefficients that the fit did
    not see.
    """
    from cryoposes_plugin.core.refinement.calibration import agreement

    search = scene.search(search_shift_px=0.0)
    noise, images = (scene.observed(a) for a in (scene.noise, scene.clean + scene.noise))
    fitted = search.refine(noise, scene.near())
    assert fitted.gain.mean() > 3  # 0.5 at poses that were not fitted
    assert abs(agreement(search, noise, scene.near())) < 3.5
    assert agreement(search, images, scene.near()) > 50


def test_products_of_the_shells_are_those_of_their_definitions(rng):
    points = FourierPoints(16)
    model, observed = (
        (rng.standard_normal((3, len(points), 2)) @ [1, 1j]).astype(np.complex64) for _ in range(2)
    )
    found = ShellProducts.joined(
        [
            ShellProducts.of(points, model[part], observed[part])
            for part in (slice(2), slice(2, None))
        ]
    )
    ring = points.shell == 5
    m, y = model[2, ring].astype(complex), observed[2, ring].astype(complex)
    assert found.cross[2, 5] == pytest.approx(np.vdot(m, y).real / ring.sum(), rel=1e-5)
    # |y - 0.7 m|^2 without a second look at the images
    left = found.image[2, 5] - 1.4 * found.cross[2, 5] + 0.49 * found.model[2, 5]
    assert left == pytest.approx((np.abs(y - 0.7 * m) ** 2).mean(), rel=1e-5)


def test_three_silent_shells_end_the_agreement():
    points = FourierPoints(32)
    model = np.ones((400, len(points)), np.complex64)
    rng = np.random.default_rng(0)
    observed = rng.standard_normal((400, len(points))) + 1j * rng.standard_normal(
        (400, len(points))
    )
    observed[:, (points.shell < 6) | (points.shell == 12)] += 2.0
    products = ShellProducts.of(points, model, observed)
    spectra = fitted_spectra(points, products, np.ones(400), np.ones(400, bool))
    assert spectra.last_shell == 5
    assert spectra.up_to(3).last_shell == 3


def test_junk_of_twice_the_power_does_not_raise_the_noise(scene):
    noise = scene.noise.copy()
    noise[: len(noise) // 4] *= 3.0
    spectra = measured(scene, scene.likelihood, scene.clean + noise, scene.near(0.0, 0.0))
    np.testing.assert_allclose(
        spectra.noise_variance[3:15], (scene.deviation * BOX) ** 2, rtol=0.35
    )


def test_wrong_poses_of_most_images_do_not_raise_the_noise(scene):
    """Their residual contains the signal, which would be 10 to 40 % of this noise."""
    rng = np.random.default_rng(0)
    wrong = rng.random(NUMBER) < 0.6
    rotations = np.where(wrong[:, None, None], random_rotations(NUMBER, rng), scene.rotations)
    starts = GivenStarts(rotations, scene.shifts)(np.arange(NUMBER)).poses
    observed = scene.observed(scene.clean + scene.noise)
    first = first_spectra(scene.points, observed.coefficients, 8)
    found = calibrate(lambda s: scene.search(spectra=s), observed, starts, first, 19, 1)
    true = (scene.deviation * BOX) ** 2
    assert found.noise_variance[1:9] / true == pytest.approx(np.ones(8), abs=0.15)


def test_the_typical_scale_is_that_of_right_poses_although_most_are_wrong(rng):
    scale = np.r_[rng.normal(1.2, 0.06, 400), rng.normal(0.5, 0.1, 600)]
    assert typical_scale(scale, np.full(1000, 0.06)) == pytest.approx(1.2, abs=0.03)


@pytest.mark.parametrize("wrong", [0.0, 0.3, 0.6])
def test_images_at_right_poses_are_found_by_their_scales(rng, wrong):
    is_wrong = np.arange(1000) < 1000 * wrong
    scale = np.where(is_wrong, 0.7, 1.3) * np.exp(0.08 * rng.standard_normal(1000))
    found = right_by_scale(scale, typical_scale(scale, np.full(1000, 0.06)))
    assert found[is_wrong].sum() < 0.02 * 1000
    assert found[~is_wrong].mean() > 0.9


def test_images_that_do_not_show_the_map_have_no_scale():
    with np.errstate(all="raise"):
        assert typical_scale(np.zeros(50), np.zeros(50)) == 0.0


def test_the_spread_of_scales_is_that_beyond_their_errors(rng):
    scale = np.exp(rng.normal(0, 0.2, 4000)) * (1 + 0.1 * rng.standard_normal(4000))
    assert scale_spread(scale, 0.1 * scale, 1.0) == pytest.approx(0.2, abs=0.02)


def test_scales_without_a_spread_have_none(rng):
    scale = 1 + 0.1 * rng.standard_normal(4000)
    assert scale_spread(scale, np.full(4000, 0.1), 1.0) < 0.03
