"""Levenberg-Marquardt steps on poses, the prior, and the trial poses around a start."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.refinement.levenberg_marquardt import (
    FREE,
    Prior,
    levenberg_marquardt,
)
from cryoposes_plugin.core.refinement.poses import Poses
from cryoposes_plugin.core.refinement.search_grids import shift_grid, stage_radii
from cryoposes_plugin.core.refinement.starts import turns_around


# -------------------------- priors, hands, starts ----------------------------
def test_a_narrow_prior_holds_the_pose_and_a_wide_one_does_not(scene):
    observed, start = scene.observed(scene.clean + scene.noise), scene.near(3.0, 0.3)
    held, free, none = (
        scene.search(search_shift_px=0.0, prior=prior).refine(observed, start)
        for prior in (Prior(1e-5, 1e-5), Prior(1.0, 50.0), Prior())
    )
    assert np.rad2deg(angular_distance_rad(held.rotations, start.rotations)).max() < 0.01
    assert np.abs(held.shifts_px - start.shifts_px).max() < 0.01
    assert np.median(np.rad2deg(angular_distance_rad(free.rotations, none.rotations))) < 0.05


@pytest.mark.parametrize("assign, degrees", [("angles", 3), ("shifts", 2)])
def test_what_is_not_assigned_stays_and_the_rest_has_its_own_error(scene, assign, degrees):
    observed, free = scene.observed(scene.clean + scene.noise), FREE[assign]
    near = scene.near(0.0, 0.4) if assign == "shifts" else scene.near(2.0, 0.0)
    found = scene.search(search_shift_px=0.0, assign=assign).refine(observed, near)
    whole = scene.search(search_shift_px=0.0).refine(observed, near)
    turned = Rotation.from_matrix(found.rotations @ np.swapaxes(scene.rotations, 1, 2)).as_rotvec()
    tangent = np.concatenate([turned, found.shifts_px - scene.shifts], axis=1)
    assert not tangent[:, ~free].round(6).any()
    assert not found.covariance[:, ~free].any()

    # The rest has the error of a pose whose other part is known: less than that of the whole pose.
    own = found.covariance[:, free][:, :, free]
    ratio = np.linalg.det(own) / np.linalg.det(whole.covariance[:, free][:, :, free])
    assert np.median(ratio) < 1
    chi_square = np.einsum("ni,nij,nj->n", tangent[:, free], np.linalg.inv(own), tangent[:, free])
    # Mean and standard error of a chi-square of this many degrees of freedom.
    error = np.sqrt(2 * degrees / len(chi_square))
    assert abs(chi_square.mean() - degrees) < 4 * error


def test_turns_fill_the_ball():
    turns = turns_around(10.0, 200)
    angle = np.rad2deg(angular_distance_rad(turns, np.eye(3)[None]))
    assert angle[0] == 0
    assert angle.max() <= 10.0 + 1e-9
    # uniform in volume: half of the points lie beyond 10 / 2^(1/3) degrees
    assert abs((angle[1:] > 10 / 2 ** (1 / 3)).mean() - 0.5) < 0.05
    mean = Rotation.from_matrix(turns).as_rotvec().mean(axis=0)
    assert np.rad2deg(np.linalg.norm(mean)) < 1.0


def test_shift_grid_and_stages():
    grid = shift_grid(3.0, 1.0)
    assert len(grid) == 29
    assert (grid[0] == 0).all()
    assert np.linalg.norm(grid, axis=1).max() == 3.0
    assert len(shift_grid(0.0, 1.0)) == 1
    radii = stage_radii(64, 14.0, 31)
    assert radii == sorted(radii)
    assert radii[-1] == 31
    assert radii[0] < 16
    assert stage_radii(64, 14.0, 5) == [5.0]


def test_levenberg_marquardt_solves_a_quadratic_in_one_step():
    """Inner products of a model that is linear in the tangent: the optimum is the normal equations'
    solution.
    """
    rng = np.random.default_rng(5)
    jacobian, model = rng.standard_normal((5, 60)), 10 * rng.standard_normal(60)
    target = np.array([0.01, -0.02, 0.015, 0.1, -0.2])

    def gram(rotations, shifts, particle):
        turn = Rotation.from_matrix(rotations).as_rotvec()
        out = []
        for tangent in np.concatenate([turn, shifts], axis=1):
            m = model + tangent @ jacobian
            out.append(np.stack([*jacobian, m, model + target @ jacobian]))
        rows = np.array(out)
        return rows @ np.swapaxes(rows, 1, 2)

    start = Poses(np.zeros(1, int), np.eye(3)[None], np.zeros((1, 2)))
    found = levenberg_marquardt(gram, start, 20)
    np.testing.assert_allclose(_tangent(found), target, atol=2e-3)
    assert found.converged[0]

    # The normal equations of some parameters, the scale among them; the others stay at 0.
    for free in (FREE["angles"], FREE["shifts"]):
        found = levenberg_marquardt(gram, start, 20, free=free)
        design = np.stack([*jacobian[free], model], axis=1)
        solution = np.linalg.lstsq(design, model + target @ jacobian, rcond=None)[0]
        expected = np.zeros(5)
        expected[free] = solution[:-1] / solution[-1]
        np.testing.assert_allclose(_tangent(found), expected, atol=2e-3)
        assert not _tangent(found)[~free].any()


def _tangent(found):
    turn = Rotation.from_matrix(found.poses.rotations).as_rotvec()
    return np.concatenate([turn[0], found.poses.shifts_px[0]])
