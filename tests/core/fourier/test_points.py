"""Points of half a Fourier plane, and the coefficients of images there."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.fourier.phase_ramp import point_ramp
from cryoposes_plugin.core.fourier.points import FourierPoints


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


@pytest.mark.parametrize("box", [16, 15])
def test_images_invert_the_transform_of_a_low_passed_image(box, rng):
    points = FourierPoints(box)
    coefficients = points.transform(rng.standard_normal((3, box, box)))
    np.testing.assert_allclose(
        points.transform(points.images(coefficients)), coefficients, atol=2e-5
    )


def test_phases_are_those_of_single_shifts(rng):
    points, shifts = FourierPoints(16), rng.normal(0, 3, (4, 2))
    expected = [point_ramp(points.frequencies, shift, 16) for shift in shifts]
    np.testing.assert_allclose(points.phases(shifts), expected, atol=2e-5)
