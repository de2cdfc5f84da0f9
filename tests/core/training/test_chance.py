"""Training that learned nothing is told from training that learned a little, whatever the symmetry
and the views.
"""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.geometry.symmetry import symmetric_distance_rad, symmetry_rotations
from cryoposes_plugin.core.training.chance import (
    CHANCE_ERROR,
    chance_of_distances,
    chance_of_poses,
    distances_learned_nothing,
    poses_learned_nothing,
    too_few_steps,
)


def summary(estimate, truth, group):
    error = np.rad2deg(np.median(symmetric_distance_rad(estimate, truth, group)))
    return {"median_error_deg": float(error), **chance_of_poses(estimate, truth, group)}


def off_by(truth, degrees, rng):
    axes = rng.standard_normal((len(truth), 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return Rotation.from_rotvec(np.deg2rad(degrees) * axes).as_matrix() @ truth


@pytest.mark.parametrize("symmetry", ["C1", "C4", "D7", "I"])
@pytest.mark.parametrize("number", [60, 500])
def test_poses_of_uniform_views(symmetry, number, rng):
    group, truth = symmetry_rotations(symmetry), random_rotations(number, rng)
    far = symmetric_distance_rad(random_rotations(4000, rng), random_rotations(4000, rng), group)
    chance = np.rad2deg(np.median(far))
    constant = np.repeat(random_rotations(1, rng), number, axis=0)
    for estimate in (random_rotations(number, rng), constant):
        errors = summary(estimate, truth, group)
        assert errors[CHANCE_ERROR] == pytest.approx(chance, rel=0.2)
        assert poses_learned_nothing(errors)
    for degrees in (2.0, 0.6 * chance):
        assert not poses_learned_nothing(summary(off_by(truth, degrees, rng), truth, group))


def test_preferred_views_are_not_taken_for_skill(rng):
    """All views within some 15 degrees: their mean has a small error, and knows nothing of an
    image.
    """
    truth = off_by(np.repeat(np.eye(3)[None], 400, axis=0), 15.0, rng)
    mean = np.repeat(np.eye(3)[None], 400, axis=0)
    group = np.eye(3)[None]
    assert poses_learned_nothing(summary(mean, truth, group))
    assert not poses_learned_nothing(summary(off_by(truth, 5.0, rng), truth, group))


def test_distances(rng):
    truth = random_rotations(200, rng)

    def errors(features):
        i, j = np.triu_indices(len(truth), 1)
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        estimated = np.arccos(np.clip(0.5 * (3 * np.sum(unit[i] * unit[j], axis=1) - 1), -1, 1))
        correlation = np.corrcoef(estimated, angular_distance_rad(truth[i], truth[j]))[0, 1]
        return {
            "correlation_of_distances": correlation,
            **chance_of_distances("trace", features, truth),
        }

    nine = truth.reshape(-1, 9)
    assert distances_learned_nothing(errors(rng.standard_normal((200, 9))))
    assert not distances_learned_nothing(errors(nine + 0.3 * rng.standard_normal(nine.shape)))


def test_the_sentences():
    nothing = {"median_error_deg": 120.0, CHANCE_ERROR: 125.0, f"{CHANCE_ERROR}_spread": 2.0}
    sentence = poses_learned_nothing(nothing)
    assert "has learned nothing: its median error on held-out images is 120°" in sentence
    assert "8 training steps" in too_few_steps(8)
    assert "more minutes" in too_few_steps(8)
    assert too_few_steps(50) is None
