"""Resolution against the number of images: closed forms, and white noise added to a known map."""

import numpy as np
import pytest

from cryoposes_plugin.core.evaluation.particle_number import (
    SignalPerImage,
    b_factor_line,
    number_by_b_factor,
    signal_per_image,
)
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.maps.phantom import make_phantom

BOX, PIXEL, B_FACTOR = 48, 4.0, 900.0


@pytest.fixture(scope="module")
def gaussian():
    """A signal that falls as exp(-B k^2 / 2), 2e-1 an image at frequency 0."""
    frequency = np.arange(BOX // 2 + 1) / (BOX * PIXEL)
    ssnr = 0.2 * np.exp(-B_FACTOR * frequency**2 / 2)
    return SignalPerImage(ssnr, BOX // 2, BOX, PIXEL)


def test_half_maps_of_twice_the_images_have_the_fsc_of_their_mean(gaussian):
    """FSC of the full map with the truth is sqrt(2 FSC / (1 + FSC)) of its halves."""
    half, truth = gaussian.fsc_of_half_maps(700), gaussian.fsc_with_truth(700)
    np.testing.assert_allclose(truth, np.sqrt(2 * half / (1 + half)), rtol=1e-12)


def test_the_signal_of_the_halves_is_proportional_to_their_number(gaussian):
    ssnr = [2 * f / (1 - f) for f in map(gaussian.fsc_of_half_maps, (300, 1200))]
    np.testing.assert_allclose(ssnr[1], 4 * ssnr[0], rtol=1e-9)


def test_the_signal_comes_back_from_the_fsc_with_the_truth(gaussian):
    found = signal_per_image(gaussian.fsc_with_truth(5000), 5000, BOX, PIXEL)
    np.testing.assert_allclose(found.ssnr[1:], gaussian.ssnr[1:], rtol=1e-9)
    assert found.last_shell == BOX // 2


def test_the_number_for_a_resolution_gives_that_resolution(gaussian):
    for number in (60.0, 400.0, 1500.0):
        resolution = gaussian.resolution_of_half_maps(number)
        assert gaussian.number_for(resolution) == pytest.approx(number, rel=1e-6)


def test_a_resolution_beyond_what_is_known_has_no_number(gaussian):
    known = SignalPerImage(np.where(np.arange(25) <= 12, gaussian.ssnr, 0), 12, BOX, PIXEL)
    assert known.number_for(0.99 * BOX * PIXEL / 12) is None
    assert known.number_for(BOX * PIXEL / 11) is not None
    assert known.resolution_of_half_maps(1e9) > BOX * PIXEL / 13


def test_more_images_are_never_worse_and_end_at_nyquist(gaussian):
    found = [gaussian.resolution_of_half_maps(n) for n in np.geomspace(10, 1e9, 60)]
    assert np.all(np.diff(found) <= 0)
    assert found[-1] == 2 * PIXEL


def test_the_line_of_rosenthal_and_henderson_is_that_of_a_gaussian_signal(gaussian):
    line = b_factor_line(gaussian)
    assert line[0] == pytest.approx(B_FACTOR, rel=1e-9)
    for resolution in (9.0, 12.0):
        assert number_by_b_factor(line, resolution) == pytest.approx(
            2 * 0.143 / 0.857 / (0.2 * np.exp(-B_FACTOR / resolution**2 / 2)), rel=1e-9
        )


def test_maps_with_white_noise_are_predicted_from_one_of_them():
    """The noise of N images is that of one over N; the prediction is from 300 to 4800 images."""
    data, rng = make_phantom(BOX, PIXEL).data, np.random.default_rng(4)
    deviation = 60 * data.std()

    def noisy(number):
        return data + deviation / np.sqrt(number) * rng.standard_normal(data.shape)

    found = signal_per_image(fourier_shell_correlation(noisy(300), data), 300, BOX, PIXEL)
    halves = fourier_shell_correlation(noisy(2400), noisy(2400))
    expected = found.fsc_of_half_maps(4800)
    assert 8 < found.last_shell < BOX // 2, "neither all nor nothing is known"
    shells = slice(3, found.last_shell)
    assert np.abs(halves - expected)[shells].max() < 0.15
    measured = signal_per_image(fourier_shell_correlation(noisy(4800), data), 4800, BOX, PIXEL)
    assert found.resolution_with_truth(4800) == pytest.approx(
        measured.resolution_with_truth(4800), rel=0.05
    )


def test_noise_alone_tells_nothing():
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal((2, BOX, BOX, BOX))
    found = signal_per_image(fourier_shell_correlation(one, other), 100, BOX, PIXEL)
    assert found.last_shell <= 1
    assert b_factor_line(found) is None
    assert found.number_for(3 * PIXEL) is None
