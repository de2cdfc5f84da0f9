"""The amplitude at poses that were fitted to the images."""

import numpy as np
import pytest

from cryoposes_plugin.core.refinement.calibration import attenuation

from .scene import BOX, NUMBER, measured


def kept(scene, poses, covariance):
    modulation = scene.observed(scene.clean).modulation
    given = np.broadcast_to(covariance, (NUMBER, 5, 5))
    return attenuation(scene.likelihood, scene.points, modulation, poses, given)


@pytest.mark.oracle
def test_errors_of_shifts_take_away_what_a_gaussian_envelope_takes(scene):
    deviation_px = 0.3
    found = kept(scene, scene.near(0, 0), np.diag([0, 0, 0, deviation_px**2, deviation_px**2]))
    shell = np.arange(1, BOX // 2)
    # exp(-2 (pi k s / D)^2); the mean of 160 draws knows s to 6 %.
    deviations = np.sqrt(-np.log(found[shell]) / 2) * BOX / (np.pi * shell)
    assert deviations.mean() == pytest.approx(deviation_px, rel=0.15)


def test_poses_without_errors_keep_the_amplitude(scene):
    np.testing.assert_allclose(kept(scene, scene.near(0, 0), np.zeros((5, 5))), 1.0, atol=1e-6)


def test_fitted_poses_overstate_the_amplitude_by_what_their_errors_take_away(scene):
    images = scene.clean + scene.noise
    refined = scene.search().refine(scene.observed(images), scene.near(2, 0.2))
    shells = slice(BOX // 4, BOX // 2)
    fitted, true = (
        measured(scene, scene.likelihood, images, poses).amplitude[shells].mean()
        for poses in (refined.poses, scene.near(0, 0))
    )
    corrected = fitted * kept(scene, refined.poses, refined.covariance)[shells].mean()
    assert abs(corrected / true - 1) < 0.5 * abs(fitted / true - 1)
