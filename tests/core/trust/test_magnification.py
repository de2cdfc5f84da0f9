"""A difference in magnification is measured from the images, with what it does to the poses."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.likelihood.pose_likelihood import PoseLikelihood
from cryoposes_plugin.core.trust.magnification import Magnification, magnification_scores
from cryoposes_plugin.core.types import Volume

from ..refinement.scene import PIXEL, Scene

EXCESS = 0.01


@pytest.fixture(scope="module")
def scene():
    return Scene()


@pytest.fixture(scope="module")
def found(scene):
    """(poses, scores) against the map, and against one of a pixel that is 1 % too large."""
    observed = scene.observed(scene.clean + 0.3 * scene.noise)

    def against(pixel):
        likelihood = PoseLikelihood(Volume(scene.volume.data, pixel), scene.points, PIXEL)
        refined = scene.search(likelihood).refine(observed, scene.near())
        scores = magnification_scores(likelihood, scene.points, scene.spectra(), observed, refined)
        return refined, scores

    return against(PIXEL), against(PIXEL * (1 + EXCESS))


def estimate(scores):
    information = scores.information.sum()
    return scores.gradient.sum() / information, information**-0.5


@pytest.mark.parametrize("which, true", [(0, 0.0), (1, EXCESS)])
def test_the_excess_of_the_pixel_is_found_within_its_error(found, which, true):
    value, error = estimate(found[which][1])
    assert error < 0.001
    assert value == pytest.approx(true, abs=4 * error)


def test_poses_move_as_the_response_says(found):
    (right, _), (moved, scores) = found
    turn = Rotation.from_matrix(moved.rotations @ np.swapaxes(right.rotations, 1, 2)).as_rotvec()
    step = np.concatenate([turn, moved.shifts_px - right.shifts_px], axis=1)
    for column in range(5):
        expected = EXCESS * scores.response[:, column]
        assert np.corrcoef(step[:, column], expected)[0, 1] > 0.8
        assert np.polyfit(expected, step[:, column], 1)[0] == pytest.approx(1.0, abs=0.15)


def test_a_difference_counts_if_it_is_no_chance_and_matters():
    assert Magnification(0.01, 0.001).differs
    assert not Magnification(0.01, 0.003).differs
    assert not Magnification(0.0005, 0.00001).differs
    assert "0.98 % smaller than stated (± 0.01 %)" in Magnification(-0.0098, 0.0001).sentence
