"""Training that learned nothing is told from training that learned a little, whatever the symmetry and the views."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.geometry.symmetry import symmetric_distance_rad, symmetry_rotations
from cryoposes_plugin.core.training.verdict import (
    CHANCE_ERROR,
    chance_of_distances,
    chance_of_poses,
    warnings_of,
)


def summary(estimate, truth, group):
    error = np.rad2deg(np.median(symmetric_distance_rad(estimate, truth, group)))
    return {"median_error_deg": float(error), **chance_of_poses(estimate, truth, group)}


def off_by(truth, degrees, rng):
    axes = rng.standard_normal((len(truth), 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return Rotation.from_rotvec(np.deg2rad(degrees) * axes).as_matrix() @ truth


def says_nothing_was_learned(errors):
    return any("has learned nothing" in sentence for sentence in warnings_of(errors, 1000, True))


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
        assert says_nothing_was_learned(errors)
    for degrees in (2.0, 0.6 * chance):
        assert not says_nothing_was_learned(summary(off_by(truth, degrees, rng), truth, group))


def test_preferred_views_are_not_taken_for_skill(rng):
    """All views within some 15 degrees: their mean has a small error, and knows nothing of an image."""
    truth = off_by(np.repeat(np.eye(3)[None], 400, axis=0), 15.0, rng)
    mean = np.repeat(np.eye(3)[None], 400, axis=0)
    group = np.eye(3)[None]
    assert says_nothing_was_learned(summary(mean, truth, group))
    assert not says_nothing_was_learned(summary(off_by(truth, 5.0, rng), truth, group))


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
    assert says_nothing_was_learned(errors(rng.standard_normal((200, 9))))
    assert not says_nothing_was_learned(errors(nine + 0.3 * rng.standard_normal(nine.shape)))


def test_a_time_for_few_steps_is_said():
    (sentence,) = warnings_of({}, 8, limited_by_time=True)
    assert "8 training steps" in sentence
    assert "more minutes" in sentence
    assert (
        warnings_of({}, 8, limited_by_time=False) == warnings_of({}, 50, limited_by_time=True) == []
    )
