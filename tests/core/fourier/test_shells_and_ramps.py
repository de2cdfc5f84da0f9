"""Shells, phase ramps, masks and filters against SciPy and finufft."""

import numpy as np
import pytest
import scipy.fft
from scipy import ndimage, signal

from cryoposes_plugin.core.fourier import masks
from cryoposes_plugin.core.fourier.filters import gaussian_transfer, low_pass
from cryoposes_plugin.core.fourier.gridding import interpolation_kernel, padded_for_interpolation
from cryoposes_plugin.core.fourier.phase_ramp import (
    axis_ramps,
    line_phases,
    phase_ramp,
    point_ramp,
)
from cryoposes_plugin.core.fourier.points import FourierPoints, half_plane
from cryoposes_plugin.core.fourier.resampling import resample_images
from cryoposes_plugin.core.fourier.shells import (
    multiplicity,
    shell_counts,
    shell_index,
    shell_means,
    shell_sums,
    squared_frequencies,
    whole_frequencies,
)
from cryoposes_plugin.core.fourier.slices import SliceSampler

pytestmark = pytest.mark.oracle
BOXES = [8, 15, 49, 98]


@pytest.mark.parametrize("box", BOXES)
def test_whole_frequencies_are_those_of_numpy(box):
    np.testing.assert_array_equal(
        whole_frequencies(box), np.rint(np.fft.fftfreq(box) * box).astype(int)
    )


@pytest.mark.parametrize("box", [8, 15])
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("half", [True, False])
def test_squared_frequencies_follow_the_order_of_the_transform(box, dimensions, half):
    axis = np.fft.fftfreq(box) * box
    last = np.fft.rfftfreq(box) * box if half else axis
    grids = np.meshgrid(*[axis] * (dimensions - 1), last, indexing="ij")
    found = squared_frequencies(box, dimensions, half)
    np.testing.assert_allclose(found, sum(g**2 for g in grids), atol=1e-9)
    np.testing.assert_array_equal(
        shell_index(box, dimensions, half), np.rint(np.sqrt(found)).astype(int)
    )


@pytest.mark.parametrize("dimensions", [2, 3])
def test_shell_sums_and_means_are_those_of_scipy(rng, dimensions):
    shells = shell_index(16, dimensions)
    values = rng.normal(size=shells.shape)
    labels = np.arange(shells.max() + 1)
    np.testing.assert_allclose(shell_sums(values, shells), ndimage.sum(values, shells, labels))
    np.testing.assert_allclose(shell_means(values, shells), ndimage.mean(values, shells, labels))
    np.testing.assert_array_equal(shell_counts(shells, 9).sum(), (shells <= 8).sum())


def test_means_are_cut_and_zero_where_a_shell_is_empty():
    shells, values = np.array([0, 0, 2, 5]), np.array([1.0, 3.0, 7.0, 9.0])
    np.testing.assert_array_equal(shell_means(values, shells, 4), [2.0, 0.0, 7.0, 0.0])
    np.testing.assert_array_equal(shell_means(values, shells), [2.0, 0.0, 7.0, 0.0, 0.0, 9.0])


@pytest.mark.parametrize("box", [12, 15])
def test_the_half_space_counted_with_its_multiplicity_is_the_whole(rng, box):
    volume = rng.normal(size=(box,) * 3)
    half, whole = (np.abs(f(volume)) ** 2 for f in (np.fft.rfftn, np.fft.fftn))
    np.testing.assert_allclose(
        shell_sums(half * multiplicity(box), shell_index(box)),
        shell_sums(whole, shell_index(box, half=False)),
    )


@pytest.mark.parametrize("box", [16, 17])
def test_a_phase_ramp_moves_an_image_as_scipy_does(rng, box):
    image, shift = rng.normal(size=(box, box)), np.array([[1.3, -2.6]])
    found = scipy.fft.rfft2(image) * phase_ramp(shift, box)[0]
    expected = ndimage.fourier_shift(scipy.fft.rfft2(image), shift[0, ::-1], n=box)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_a_whole_shift_is_a_roll(rng):
    image = rng.normal(size=(12, 12))
    spectrum = scipy.fft.rfft2(image) * phase_ramp(np.array([[3.0, -2.0]]), 12)[0]
    np.testing.assert_allclose(
        scipy.fft.irfft2(spectrum, s=(12, 12)), np.roll(image, (-2, 3), axis=(0, 1)), atol=1e-12
    )


def test_all_ramps_are_one(rng):
    box, shift = 12, rng.normal(size=2)
    kx, ky = half_plane(box)
    points = np.stack([kx, ky], axis=-1)
    ramp = phase_ramp(shift[None], box)[0]
    nyquist = ky == -box // 2  # fftfreq gives the unpaired row a negative frequency, as here
    assert nyquist.any()
    np.testing.assert_allclose(point_ramp(points, shift, box), ramp, atol=1e-12)
    along_y, along_x = axis_ramps(shift[None], box)
    np.testing.assert_array_equal((along_y * along_x)[0], ramp)
    np.testing.assert_array_equal(
        line_phases(shift[:1], 2 * np.pi * np.fft.rfftfreq(box)), along_x[0]
    )


def _nonuniform(image, moved_by, kx, ky):
    """The transform of an image whose pixels lie about D // 2 and are moved by (x, y), by finufft."""
    finufft = pytest.importorskip("finufft")
    box = len(image)
    y, x = np.meshgrid(*[np.arange(box) - box // 2] * 2, indexing="ij")
    scale = 2 * np.pi / box
    return finufft.nufft2d3(
        (x.ravel() + moved_by[0]) * scale,
        (y.ravel() + moved_by[1]) * scale,
        image.ravel().astype(np.complex128),
        kx.astype(np.float64),
        ky.astype(np.float64),
        isign=-1,
        eps=1e-12,
    )


@pytest.mark.parametrize("box", [24, 49])
def test_points_and_their_ramp_are_the_nonuniform_transform(rng, box):
    image, shift = rng.normal(size=(box, box)), np.array([0.7, -1.9])
    points = FourierPoints(box)
    kx, ky = points.frequencies.T
    found = points.transform(image[None])[0]
    if box % 2 == 0:
        found = found * point_ramp(points.frequencies, shift, box)
        np.testing.assert_allclose(found, _nonuniform(image, shift, kx, ky), atol=2e-4)
    assert len(points) == ((kx**2 + ky**2 < box**2 / 4) & ((kx > 0) | (ky > 0))).sum()
    assert (np.diff(points.radius) >= 0).all()


def test_a_slice_brings_the_particle_back_to_the_origin(rng):
    image, shift = rng.normal(size=(1, 24, 24)), np.array([[1.2, -0.4]])
    sampler = SliceSampler(24)
    found = sampler.transform(image, shift)[0]
    expected = _nonuniform(image[0], -shift[0], sampler.kx, sampler.ky)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_means_of_points_are_those_of_their_shells(rng):
    points = FourierPoints(20)
    values = rng.normal(size=len(points))
    labels = np.arange(points.number_of_shells)
    found = points.shell_means(values)
    filled = points.shell_counts() > 0
    np.testing.assert_allclose(
        found[filled], ndimage.mean(values, points.shell, labels[filled]), atol=1e-12
    )
    assert not found[~filled].any()


@pytest.mark.parametrize("box", [16, 17])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_masks_lie_about_the_origin(box, dimensions):
    outside = np.ones((box,) * dimensions, bool)
    outside[(box // 2,) * dimensions] = False
    np.testing.assert_allclose(
        np.sqrt(masks.squared_radius(box, dimensions)), ndimage.distance_transform_edt(outside)
    )


def test_edges_are_half_a_cosine():
    sphere = masks.soft_sphere(32, 8.0, 4.0)
    assert sphere[16, 16, 24] == 1
    assert sphere[16, 16, 26] == pytest.approx(0.5, abs=1e-6)
    assert sphere[16, 16, 28] == pytest.approx(0, abs=1e-6)
    circle = masks.soft_circle(32, 12.0, 4.0)
    assert circle[16, 24] == 1
    assert circle[16, 26] == pytest.approx(0.5, abs=1e-6)
    assert circle[16, 28] == 0
    np.testing.assert_allclose(
        masks.falling_edge(np.linspace(-1, 2, 31)), 1 - masks.rising_edge(np.linspace(-1, 2, 31))
    )


@pytest.mark.parametrize("box", [16, 17])
def test_the_gaussian_is_that_of_scipy(rng, box):
    image = rng.normal(size=(box, box))
    expected = ndimage.fourier_gaussian(scipy.fft.rfft2(image), 1.5, n=box)
    np.testing.assert_allclose(
        scipy.fft.rfft2(image) * gaussian_transfer(box, 1.5), expected, atol=1e-9
    )


def test_low_pass_keeps_what_lies_below_and_nothing_beyond(rng):
    volume = rng.normal(size=(24,) * 3).astype(np.float32)
    cut = low_pass(volume, 2.0, 6.0)  # shell 24 * 2 / 6 = 8
    before, after = (np.abs(np.fft.rfftn(v)) for v in (volume, cut))
    shells = shell_index(24)
    np.testing.assert_allclose(after[shells <= 6], before[shells <= 6], atol=1e-2)
    np.testing.assert_allclose(after[shells == 7], before[shells == 7] / 2, atol=1e-2)
    assert after[shells >= 8].max() < 1e-2


@pytest.mark.parametrize("box_in, box_out", [(24, 15), (16, 24), (15, 25)])
def test_resampling_in_the_same_field_of_view_is_that_of_scipy(rng, box_in, box_out):
    """SciPy keeps pixel 0 where it is, not D // 2."""
    image = rng.normal(size=(box_in, box_in)).astype(np.float32)
    found = resample_images(image[None], 1.0, box_out, box_in / box_out)[0]
    expected = np.fft.ifftshift(image)
    for axis in (0, 1):
        expected = signal.resample(expected, box_out, axis=axis)
    np.testing.assert_allclose(found, np.fft.fftshift(expected), atol=1e-5)


def test_resampling_reads_the_trigonometric_interpolation(rng):
    """At positions between the pixels, by finufft; an odd box has no unpaired frequency."""
    finufft = pytest.importorskip("finufft")
    image = rng.normal(size=(15, 15))
    found = resample_images(image[None].astype(np.float32), 1.0, 20, 0.7)[0]
    axis = (np.arange(20) - 10) * 0.7 * 2 * np.pi / 15
    y, x = np.meshgrid(axis, axis, indexing="ij")
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image))) / 15**2
    expected = finufft.nufft2d2(
        y.ravel(), x.ravel(), spectrum.astype(np.complex128), isign=1, eps=1e-12
    ).real.reshape(20, 20)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_padding_keeps_the_origin_and_the_kernel_is_a_sinc():
    volume = np.zeros((8, 8, 8), np.float32)
    volume[4, 4, 4] = volume[4, 4, 6] = 1.0
    padded = padded_for_interpolation(volume, 16)
    assert padded[0, 0, 0] == 1
    assert padded[0, 0, 2] == pytest.approx(1 / np.sinc(2 / 16) ** 2)
    assert interpolation_kernel(8, 16)[4, 4, 4] == 1
