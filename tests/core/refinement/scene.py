"""A scene for the tests of refinement: simulated particles whose poses, noise and spectra are
known.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.fourier.ctf import pack_ctf
from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.forward_model import ForwardModel
from cryoposes_plugin.core.likelihood.pose_likelihood import PoseLikelihood
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.maps.size import radius_of_gyration_px
from cryoposes_plugin.core.refinement.multi_start import MultiStart, Settings
from cryoposes_plugin.core.refinement.observations import observe
from cryoposes_plugin.core.refinement.spectra import Spectra
from cryoposes_plugin.core.refinement.starts import GivenStarts
from cryoposes_plugin.core.types import CtfTable

BOX, PIXEL, NUMBER = 40, 5.0, 160


NOISE = 1.5  # standard deviation, in units of the mean standard deviation of the projections


class Scene:
    """Images of the demo's molecule with CTF, shifts and white noise, and all that is true of them."""

    def __init__(self):
        rng = np.random.default_rng(7)
        self.volume = make_phantom(BOX, PIXEL)
        self.rotations = random_rotations(NUMBER, rng)
        self.shifts = rng.normal(0, 1.0, (NUMBER, 2))
        defocus = rng.uniform(8e3, 25e3, NUMBER)
        constants = [np.full(NUMBER, v) for v in (0.0, 300.0, 2.7, 0.1, 0.0)]
        self.ctf = CtfTable(defocus + 300, defocus - 300, rng.uniform(0, 180, NUMBER), *constants)
        model = ForwardModel([self.volume], BOX, PIXEL)
        pose = (
            np.zeros(NUMBER, np.int32),
            self.rotations.astype(np.float32),
            self.shifts.astype(np.float32),
        )
        self.clean = model.images(*pose, pack_ctf(self.ctf)).numpy()
        self.deviation = NOISE * self.clean.std(axis=(1, 2)).mean()
        self.noise = self.deviation * rng.standard_normal(self.clean.shape).astype(np.float32)
        self.points = FourierPoints(BOX)
        self.likelihood = PoseLikelihood(self.volume, self.points, PIXEL)
        self.radius = radius_of_gyration_px(self.volume.data)

    def observed(self, images):
        return observe(self.points, images, self.ctf, "raw", PIXEL)

    def spectra(self, amplitude=1.0):
        shells = np.full(self.points.number_of_shells, 1.0)
        return Spectra(amplitude * shells, (self.deviation * BOX) ** 2 * shells)

    def search(self, likelihood=None, spectra=None, **settings):
        return MultiStart(
            likelihood or self.likelihood,
            self.points,
            spectra or self.spectra(),
            self.radius,
            np.eye(3)[None],
            Settings(**settings),
        )

    def near(self, degrees=4.0, pixels=0.4, seed=1):
        rng = np.random.default_rng(seed)
        turn = Rotation.from_rotvec(
            np.deg2rad(degrees) / 3**0.5 * rng.standard_normal((NUMBER, 3))
        ).as_matrix()
        return GivenStarts(
            turn @ self.rotations, self.shifts + pixels * rng.standard_normal((NUMBER, 2))
        )(np.arange(NUMBER)).poses

    def errors_deg(self, refined):
        return np.rad2deg(angular_distance_rad(refined.rotations, self.rotations))


def measured(scene, likelihood, images, poses, scale=None):
    from cryoposes_plugin.core.refinement.calibration import measure_spectra

    observed = scene.observed(images)
    return measure_spectra(
        likelihood, scene.points, observed, poses.rotations, poses.shifts_px, scale
    )
