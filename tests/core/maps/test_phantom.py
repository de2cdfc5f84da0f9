"""The phantom: repeatable, protein-like, and different from itself in every other orientation and
hand.
"""

import numpy as np
import pytest
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.maps.phantom import (
    BEAD_SIGMA_PX,
    BOX_SHARE,
    gaussian_density,
    gaussian_projections,
    make_phantom,
)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(64, 5.0)


def radius_px(box_size_px):
    axis = (np.arange(box_size_px) - box_size_px // 2) ** 2
    return np.sqrt(axis[:, None, None] + axis[:, None] + axis)


def amplitude_spectrum(data):
    """Root mean square Fourier amplitude of each shell, (D / 2 + 1,)."""
    power = np.abs(np.fft.fftshift(np.fft.fftn(data))) ** 2
    shell = np.round(radius_px(len(data))).astype(int).ravel()
    return np.sqrt(np.bincount(shell, power.ravel()) / np.bincount(shell))[: len(data) // 2 + 1]


def turned(data, rotation):
    centre = np.full(3, len(data) // 2)
    return affine_transform(data, rotation, offset=centre - rotation @ centre, order=1)


def test_it_is_a_positive_unit_density_inside_three_quarters_of_the_box(phantom):
    data = phantom.data
    assert data.dtype == np.float32
    assert data.shape == (64, 64, 64)
    assert phantom.pixel_size_angstrom == 5.0
    assert data.min() >= 0
    assert data.std() == pytest.approx(1, abs=1e-4)
    assert not data[radius_px(64) > BOX_SHARE * 32].any()
    assert 0.03 < (data > 0.5).mean() < 0.15, "a compact molecule fills some percent of its box"


def test_its_centre_of_mass_is_the_origin_of_the_grid(phantom):
    centre = [
        (np.indices((64,) * 3)[axis] * phantom.data).sum() / phantom.data.sum() for axis in range(3)
    ]
    np.testing.assert_allclose(centre, 32, atol=0.05)


def test_a_seed_is_one_molecule():
    np.testing.assert_array_equal(
        make_phantom(32, 10.0, seed=3).data, make_phantom(32, 10.0, seed=3).data
    )
    other = make_phantom(32, 10.0, seed=4).data
    assert np.corrcoef(make_phantom(32, 10.0, seed=3).data.ravel(), other.ravel())[0, 1] < 0.9


def test_finer_sampling_shows_the_same_molecule(phantom):
    fine = make_phantom(96, 5.0 * 64 / 96).data
    spectrum_fine, spectrum = (
        np.fft.fftn(np.fft.ifftshift(fine)),
        np.fft.fftn(np.fft.ifftshift(phantom.data)),
    )
    low = np.r_[0:12, -11:0]
    corner_fine, corner = spectrum_fine[np.ix_(low, low, low)], spectrum[np.ix_(low, low, low)]
    correlation = (
        np.vdot(corner_fine, corner).real / np.linalg.norm(corner_fine) / np.linalg.norm(corner)
    )
    assert correlation > 0.99


def test_its_spectrum_falls_like_a_proteins(phantom):
    spectrum = amplitude_spectrum(phantom.data)
    assert np.all(np.diff(spectrum[:30]) < 0)
    assert spectrum[1] / spectrum[8] > 10, "the shape dominates at low frequency"
    assert 1.5 < spectrum[16] / spectrum[24] < 5, (
        "but the packing of the beads is still there towards Nyquist"
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_no_other_orientation_and_no_mirror_looks_the_same(phantom, mirrored):
    data = phantom.data[::2, ::2, ::2].astype(float)
    image = data[:, :, ::-1] if mirrored else data
    rng = np.random.default_rng(1)
    rotations = Rotation.random(150, random_state=rng).as_matrix()
    axis_turns = np.array(
        [np.diag(d) for d in ((1, -1, -1), (-1, 1, -1), (-1, -1, 1))], dtype=float
    )
    far = [
        r
        for r in np.concatenate([rotations, axis_turns])
        if mirrored or np.trace(r) < 1 + 2 * np.cos(0.6)
    ]
    best = max(np.corrcoef(data.ravel(), turned(image, r).ravel())[0, 1] for r in far)
    assert best < 0.85


def test_gaussian_density_is_the_sum_of_its_gaussians():
    points = np.array([[0.0, 0.0, 0.0], [5.0, -4.0, 3.0]])
    density = gaussian_density(points, BEAD_SIGMA_PX, 20)
    assert density[10, 10, 10] == pytest.approx(1, abs=1e-4)
    assert density[13, 6, 15] == pytest.approx(1, abs=1e-4), (
        "arrays are [z, y, x], points (x, y, z)"
    )
    assert density[13, 6, 14] == pytest.approx(np.exp(-1 / (2 * BEAD_SIGMA_PX**2)), abs=1e-4)
    assert density.sum() == pytest.approx(2 * (2 * np.pi * BEAD_SIGMA_PX**2) ** 1.5, rel=1e-3)


@pytest.mark.parametrize(
    ("box", "pixel", "named"), [(8, 5.0, "8 px"), (64, 0.0, "0.0 Å"), (64, float("nan"), "nan Å")]
)
def test_bad_arguments_are_named(box, pixel, named):
    with pytest.raises(ConfigError, match=named):
        make_phantom(box, pixel)


def test_a_projection_is_the_density_summed_along_the_beam(rng):
    points = rng.uniform(-6, 6, (5, 3))
    density = gaussian_density(points, BEAD_SIGMA_PX, 24)
    (image,) = gaussian_projections(points, BEAD_SIGMA_PX, np.eye(3)[None], 24)
    assert image == pytest.approx(density.sum(axis=0), abs=2e-4)


def test_a_projection_shows_the_turned_points():
    """A quarter turn about y takes z to x: the rotation is from the density's frame to the image's."""
    turn = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    (image,) = gaussian_projections(np.array([[1.0, 2.0, 5.0]]), 0.8, turn[None], 24)
    assert np.unravel_index(image.argmax(), image.shape) == (12 + 2, 12 + 5)
    assert image.sum() == pytest.approx((2 * np.pi * 0.8**2) ** 1.5, rel=1e-3)
