"""The summary of a network's errors, on poses whose errors are known."""

import dataclasses

import numpy as np
import pytest

from cryoposes_plugin.core.conventions import rotations_about_z
from cryoposes_plugin.core.geometry import symmetry
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.models.pose_model import Prediction
from cryoposes_plugin.core.training.labels import PoseLabels
from cryoposes_plugin.core.training.pose_errors import error_summary

DEGREES = np.array([1.0, 2.0, 4.0, 6.0, 90.0])
C1 = np.eye(3)[None]


@pytest.fixture
def scene(rng):
    """Five images turned by known angles, moved by (3, 4) px times 0 to 4; the surer, the better."""
    truth = random_rotations(5, rng)
    shifts = rng.normal(0, 1, (5, 2))
    labels = PoseLabels(truth, shifts, np.ones(5))
    predicted = rotations_about_z(np.deg2rad(DEGREES)) @ truth
    bingham = np.stack([np.diag([0.0, k, k, k]) for k in (50.0, 40.0, 30.0, 20.0, 10.0)])
    return Prediction(predicted, bingham, shifts + np.arange(5)[:, None] * [3.0, 4.0]), labels


def test_errors_are_the_known_ones(scene):
    summary = error_summary(*scene, C1)
    assert summary["median_error_deg"] == pytest.approx(4.0)
    assert summary["mean_error_deg"] == pytest.approx(DEGREES.mean())
    assert summary["share_below_5_deg"] == pytest.approx(0.6)
    assert summary["median_error_of_kept_deg"] == pytest.approx(3.0)
    assert summary["correlation_trace"] == pytest.approx(1.0)
    assert summary["median_shift_error_px"] == pytest.approx(10.0)


def test_shifts_that_nobody_knows_or_predicts_are_left_out(scene):
    prediction, labels = scene
    some = labels._replace(shift_known=np.array([1.0, 1.0, 0.0, 0.0, 0.0]))
    assert error_summary(prediction, some, C1)["median_shift_error_px"] == pytest.approx(2.5)
    none = labels._replace(shift_known=np.zeros(5))
    assert "median_shift_error_px" not in error_summary(prediction, none, C1)
    without = dataclasses.replace(prediction, shifts_px=None)
    assert "median_shift_error_px" not in error_summary(without, labels, C1)


def test_equivalent_poses_are_no_errors(scene):
    prediction, labels = scene
    group = symmetry.symmetry_rotations("C4")
    turned = dataclasses.replace(prediction, rotations=prediction.rotations @ group[1])
    assert error_summary(turned, labels, group)["median_error_deg"] == pytest.approx(4.0)
    assert error_summary(turned, labels, C1)["median_error_deg"] > 60
