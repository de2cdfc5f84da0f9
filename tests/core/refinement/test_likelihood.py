"""The gain of a pose: its closed form at the truth, its derivatives, and the scan over shifts."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.refinement.levenberg_marquardt import profile
from cryoposes_plugin.core.refinement.poses import Poses
from cryoposes_plugin.core.refinement.search_grids import shift_grid
from cryoposes_plugin.core.refinement.whitened_images import WhitenedImages

from .scene import BOX, NUMBER


# -------------------------- the likelihood -----------------------------------
def test_the_gain_at_the_truth_is_the_closed_form(scene):
    """|y|^2 - |y - s m|^2 with the least-squares s, from images that the forward model made."""
    observed = scene.observed(scene.clean + scene.noise)
    gram = WhitenedImages(scene.likelihood, observed, scene.points, scene.spectra()).gram(BOX / 2)
    gain, scale, _, _ = profile(
        gram(scene.rotations, scene.shifts, np.arange(NUMBER)).astype(np.float64)
    )
    weight = np.sqrt(2.0) / (scene.deviation * BOX)
    m, y = (weight * scene.points.transform(a) for a in (scene.clean, scene.clean + scene.noise))
    overlap, power = (m.conj() * y).real.sum(axis=1), (np.abs(m) ** 2).sum(axis=1)
    np.testing.assert_allclose(scale, overlap / power, rtol=2e-3)
    left = (np.abs(y - (overlap / power)[:, None] * m) ** 2).sum(axis=1)
    np.testing.assert_allclose(gain, (np.abs(y) ** 2).sum(axis=1) - left, rtol=4e-3)


def test_gradient_and_curvature_agree_with_finite_differences(scene):
    """The Gauss-Newton matrix is the curvature where images are noise-free, so both are tested
    there.
    """
    observed = scene.observed(scene.clean)
    gram = WhitenedImages(scene.likelihood, observed, scene.points, scene.spectra()).gram(BOX / 2)
    rows, step = np.arange(24), 0.02

    def at(tangent):
        turned = (
            Rotation.from_rotvec(np.tile(tangent[:3], (len(rows), 1))).as_matrix()
            @ scene.rotations[rows]
        )
        inner = gram(turned, scene.shifts[rows] + tangent[3:], rows).astype(np.float64)
        return profile(inner)

    for axis in range(5):
        size = step if axis < 3 else 0.1
        tangent = np.zeros(5)
        tangent[axis] = size
        up, middle, down = (at(sign * tangent) for sign in (1, 0, -1))
        away = at(3 * tangent)[2][:, axis]
        difference = (at(3.5 * tangent)[0] - at(2.5 * tangent)[0]) / (2 * size)
        np.testing.assert_allclose(away, difference, atol=0.05 * np.abs(difference).max())
        curvature = -(up[0] - 2 * middle[0] + down[0]) / (2 * size**2)
        np.testing.assert_allclose(curvature, middle[3][:, axis, axis], rtol=0.15)


def test_the_scan_finds_the_shift(scene):
    observed = scene.observed(scene.clean + scene.noise)
    images = WhitenedImages(scene.likelihood, observed, scene.points, scene.spectra())
    poses = Poses(np.arange(NUMBER), scene.rotations, np.zeros((NUMBER, 2)))
    grid = shift_grid(4.0, 0.5)
    gain, best = images.scan(poses, grid, 12.0)
    assert np.quantile(np.abs(grid[best] - scene.shifts), 0.95) < 0.6
    exact = profile(
        images.gram(12.0)(scene.rotations, grid[best], np.arange(NUMBER)).astype(np.float64)
    )[0]
    np.testing.assert_allclose(gain, exact, rtol=1e-3)
