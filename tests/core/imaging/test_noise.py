import numpy as np
import pytest

from cryoposes_plugin.core.fourier.masks import circular_mask
from cryoposes_plugin.core.imaging.noise import (
    noise_amplitude,
    normalise_background,
    simulate_noise,
    white_noise,
)


def test_an_image_depends_on_its_seed_and_id_alone():
    noise = white_noise(3, np.arange(10), 32)
    assert (white_noise(3, np.array([7, 2]), 32) == noise[[7, 2]]).all()
    assert (white_noise(4, np.array([7]), 32) != noise[7]).mean() > 0.99


def test_an_image_is_the_start_of_the_stream_of_seed_and_id():
    stream = np.random.Generator(np.random.Philox(key=np.array([3, 7], np.uint64)))
    expected = stream.standard_normal((32, 32), np.float32)
    assert (white_noise(3, np.array([5, 7]), 32)[1] == expected).all()


def test_white_noise_is_standard_normal_and_uncorrelated():
    noise = white_noise(0, np.arange(400), 32).astype(np.float64)
    assert noise.mean() == pytest.approx(0, abs=0.006)
    assert noise.var() == pytest.approx(1, abs=0.01)
    assert (noise**4).mean() == pytest.approx(3, abs=0.06)
    assert (noise[:, :, 1:] * noise[:, :, :-1]).mean() == pytest.approx(0, abs=0.006)
    assert (noise[1:] * noise[:-1]).mean() == pytest.approx(0, abs=0.006)


def expected_neighbour_correlation(sigma):
    """Half of the power is white; the other half has the correlation of a Gaussian blur, exp(-1 /
    (4 sigma^2)).
    """
    return 0.5 * np.exp(-1 / (4 * sigma**2))


@pytest.mark.parametrize("sigma", [1.0, 3.0])
def test_coloured_noise_has_variance_1_and_the_correlation_of_its_blur(sigma):
    noise = simulate_noise(1, np.arange(500), 64, sigma).astype(np.float64)
    assert noise.dtype == np.float64
    assert noise.var() == pytest.approx(1, abs=0.02)
    for a, b in ((noise[:, :, 1:], noise[:, :, :-1]), (noise[:, 1:], noise[:, :-1])):
        assert (a * b).mean() == pytest.approx(expected_neighbour_correlation(sigma), abs=0.02)


def test_no_correlation_is_white():
    assert noise_amplitude(32, 0.0) is None
    assert (simulate_noise(1, np.arange(3), 16) == white_noise(1, np.arange(3), 16)).all()


def test_normalised_background_has_mean_0_and_deviation_1_and_the_image_is_only_scaled(rng):
    images = rng.normal(7, 3, (5, 32, 32)).astype(np.float32)
    mask = circular_mask(32, 11.0)
    images[:, mask] += 20
    out = normalise_background(images, mask)
    assert out.dtype == np.float32
    for image, original in zip(out, images):
        assert image[~mask].mean() == pytest.approx(0, abs=1e-5)
        assert image[~mask].std() == pytest.approx(1, abs=1e-5)
        slope, offset = np.polyfit(original.ravel(), image.ravel(), 1)
        assert image == pytest.approx(slope * original + offset, abs=1e-4)


def test_the_mask_is_a_circle_about_the_origin_pixel():
    mask = circular_mask(8, 2.0)
    assert mask.sum() == 13
    assert mask[4, 2]
    assert mask[6, 4]
    assert not mask[2, 2]
