"""Resampling against closed forms: a band-limited signal is known everywhere."""

import numpy as np
import pytest

from cryoposes_plugin.core.fourier.resampling import resample_images, resample_volume


def _gaussian(box, pixel, ndim, sigma=12.0, offset=7.3):
    axis = (np.arange(box) - box // 2) * pixel
    grids = np.meshgrid(*[axis] * ndim, indexing="ij")
    return np.exp(-sum((g - offset) ** 2 for g in grids) / (2 * sigma**2)).astype(np.float32)


@pytest.mark.parametrize(
    "box_out, pixel_out", [(64, 4.0), (48, 4.0), (40, 5.3), (65, 3.1), (96, 3.2), (80, 3.2)]
)
def test_a_smooth_image_is_sampled_anew(box_out, pixel_out):
    image = _gaussian(80, 3.2, 2)[None]
    inside = np.abs((np.arange(box_out) - box_out // 2) * pixel_out) < 100
    found = resample_images(image, 3.2, box_out, pixel_out)[0][np.ix_(inside, inside)]
    expected = _gaussian(box_out, pixel_out, 2)[np.ix_(inside, inside)]
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("box_out", [65, 82])
def test_grey_values_are_counted_from_the_rim_where_the_field_of_view_grows(box_out):
    """Zeros around an image of another mean would be a frame around it."""
    image = _gaussian(64, 3.2, 2)[None]
    plain, lifted = (resample_images(i, 3.2, box_out, 3.2) for i in (image, image + 40.0))
    np.testing.assert_allclose(lifted, plain, atol=1e-4)
    inner = resample_images(image + 40.0, 3.2, 48, 3.2)
    assert inner.mean() > 40.0


def test_a_volume_too_and_odd_boxes():
    found = resample_volume(_gaussian(41, 4.0, 3), 4.0, 32, 5.0)
    np.testing.assert_allclose(found, _gaussian(32, 5.0, 3), atol=2e-4)


def test_integer_binning_is_a_fourier_crop(rng):
    image = rng.normal(size=(1, 32, 32)).astype(np.float32)
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image[0])))[9:24, 9:24]
    found = resample_images(image, 1.0, 16, 2.0)[0]
    mine = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(found)))[1:, 1:]
    np.testing.assert_allclose(mine, spectrum / 4, atol=1e-4)


def test_nothing_changes_at_the_same_grid(rng):
    image = rng.normal(size=(3, 20, 20)).astype(np.float32)
    np.testing.assert_array_equal(resample_images(image, 2.0, 20, 2.0), image)


def test_outside_of_the_old_box_is_zero():
    image = np.zeros((1, 16, 16), np.float32)
    image[0, 1:-1, 1:-1] = 1.0
    found = resample_images(image, 1.0, 24, 1.0)[0]
    assert found[0, 0] == 0
    assert found[12, 12] == pytest.approx(1)
