"""The defocus as a sixth parameter: derivatives, the bound, the prior, and what is refused."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.fourier.ctf import with_defocus_changed
from cryoposes_plugin.core.particles.checks import check_defocus
from cryoposes_plugin.core.refinement.whitened_images import DefocusImages

from ...exact_projections import ctf_table, particle_set
from .scene import NUMBER, PIXEL

#: Quieter images: at 5 Å per pixel defocus shows little.
QUIET = 0.05


@pytest.fixture(scope="module")
def quiet(scene):
    """(spectra, images) of the scene with a twentieth of its noise."""
    images = scene.clean + QUIET * scene.noise
    spectra = scene.spectra()
    return dataclasses.replace(spectra, noise_variance=spectra.noise_variance * QUIET**2), images


def model_of(scene, quiet, error_angstrom=0.0):
    """The model of images whose defocus is given with these errors."""
    spectra, images = quiet
    observed = scene.observed(images)
    ctf = with_defocus_changed(scene.ctf, -error_angstrom * np.ones(NUMBER))
    return DefocusImages(scene.likelihood, scene.points, spectra, observed.coefficients, ctf, PIXEL)


def test_derivative_of_the_modulation_is_that_of_finite_differences(scene, quiet):
    model, rows = model_of(scene, quiet), np.arange(20)
    step, at = 40.0, np.full(20, 123.0)
    _, slope = model.modulations(rows, at)
    ahead, behind = (model.modulations(rows, at + d)[0] for d in (step, -step))
    expected = (ahead.astype(float) - behind) / (2 * step)
    np.testing.assert_allclose(slope, expected, atol=2e-3 * np.abs(expected).max())


def test_inner_products_give_the_gradient_of_the_gain(scene, quiet):
    model, rows = model_of(scene, quiet, 200.0), np.arange(6)
    rotations, shifts = scene.rotations[:6], scene.shifts[:6]

    def gain(z):
        gram = model.gram(rotations, shifts, rows, np.full((6, 1), z))
        return gram[:, 6, 7] ** 2 / gram[:, 6, 6]

    gram = model.gram(rotations, shifts, rows, np.zeros((6, 1)))
    scale = gram[:, 6, 7] / gram[:, 6, 6]
    gradient = 2 * scale * (gram[:, 5, 7] - scale * gram[:, 5, 6])
    expected = (gain(60.0) - gain(-60.0)) / 120.0
    np.testing.assert_allclose(gradient, expected, rtol=0.03)
    np.testing.assert_allclose(gram, np.swapaxes(gram, 1, 2), rtol=1e-5)


def test_defocus_is_found_to_its_error_and_the_pose_has_the_larger_one(scene, quiet):
    rng = np.random.default_rng(3)
    spectra, images = quiet
    error = rng.normal(0, 300.0, NUMBER)
    start = scene.search(spectra=spectra, search_shift_px=0.0).refine(
        scene.observed(images), scene.near(1.0, 0.2)
    )
    found = scene.search(spectra=spectra, defocus_prior_angstrom=300.0).refine_defocus(
        model_of(scene, quiet, error), start
    )
    left = found.change - error
    assert np.median(np.abs(left)) < 0.6 * np.median(np.abs(error))
    # With the prior of the errors that there are, the posterior's width is the error made.
    squares = (left / found.error) ** 2
    assert squares.mean() == pytest.approx(1.0, abs=4 * np.sqrt(2 / NUMBER))
    assert (found.error < 300.0).all()

    turned = Rotation.from_matrix(
        found.refined.rotations @ np.swapaxes(scene.rotations, 1, 2)
    ).as_rotvec()
    tangent = np.concatenate([turned, found.refined.shifts_px - scene.shifts], axis=1)
    inverse = np.linalg.inv(found.refined.covariance)
    squares = np.einsum("ni,nij,nj->n", tangent, inverse, tangent)
    assert np.median(squares) / stats.chi2(5).median() < 1.5
    # An unknown defocus adds to the error of the pose, or leaves it as it is.
    wider = np.linalg.det(found.refined.covariance) / np.linalg.det(start.covariance)
    assert np.median(wider) > 0.98


def test_a_narrow_prior_holds_the_defocus(scene, quiet):
    spectra, images = quiet
    start = scene.search(spectra=spectra, search_shift_px=0.0).refine(
        scene.observed(images), scene.near(1.0, 0.2)
    )
    found = scene.search(spectra=spectra, defocus_prior_angstrom=1.0).refine_defocus(
        model_of(scene, quiet, 300.0), start
    )
    assert np.abs(found.change).max() < 1.0
    np.testing.assert_allclose(found.error, 1.0, rtol=0.01)


def test_images_that_were_corrected_or_have_no_ctf_are_refused(tmp_path, rng):
    images, rotations = np.zeros((3, 8, 8), np.float32), np.tile(np.eye(3), (3, 1, 1))
    _, table = particle_set(tmp_path, images, rotations, np.zeros((3, 2)), 3.0, ctf_table(3, rng))
    check_defocus(table)
    with pytest.raises(InputError, match="no defocus to refine"):
        check_defocus(table.replace(ctf=None))
    optics = (dataclasses.replace(table.optics[0], image_state="phase-flipped"),)
    with pytest.raises(InputError, match="The images are phase-flipped"):
        check_defocus(table.replace(optics=optics))
