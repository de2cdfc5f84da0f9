"""Distances within pairs of particles, in two sets of poses."""

import numpy as np

from cryoposes_plugin.core.evaluation.pair_distances import pair_distances_deg
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations

from ...exact_projections import particle_set


def test_distances_of_pairs_are_joined_by_id_and_know_the_symmetry(
    asymmetric_volume, tmp_path, rng
):
    rotations = random_rotations(40, rng)
    images = np.zeros((40, 8, 8), dtype=np.float32)
    _, table = particle_set(tmp_path, images, rotations, np.zeros((40, 2)), 5.0)
    shuffled = table.take(rng.permutation(40))
    true_deg, estimated_deg = pair_distances_deg(table, shuffled, "C1", 500)
    np.testing.assert_allclose(true_deg, estimated_deg, atol=1e-9)
    half_turn = table.replace(
        rotations=np.where(
            np.arange(40)[:, None, None] % 2, rotations, rotations @ np.diag([-1.0, -1, 1])
        )
    )
    for group, equal in (("C2", True), ("C1", False)):
        true_deg, estimated_deg = pair_distances_deg(table, half_turn, group, 500)
        assert np.allclose(true_deg, estimated_deg, atol=1e-6) == equal
    assert true_deg.max() <= 180
    assert true_deg.std() > 10
    assert np.isclose(
        np.rad2deg(angular_distance_rad(rotations[:1], rotations[1:2])), true_deg, atol=1e-6
    ).any()
