"""The beam from turned and mirrored copies: what is left is a rotation of the volume, and the hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.conventions import mirror, turn_in_plane, viewing_directions
from cryoposes_plugin.core.evaluation.orthogonal4 import register_orthogonal4
from cryoposes_plugin.core.evaluation.registration import HANDS, register
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import hemisphere, random_rotations
from cryoposes_plugin.core.recovery.gauge import choose_beam_axis, known_turns
from cryoposes_plugin.core.recovery.pairs import pairs_from_arrays
from cryoposes_plugin.core.recovery.solve import recover_rotations

C1 = np.eye(3)[None]


def physical_error_rad(rotations, truth):
    return angular_distance_rad(
        register(rotations, truth, C1, hands=HANDS).apply(rotations), truth
    ).mean()


def copies_of(rotations, number, rng):
    """Rotations with those of copies after them, the rows they are of, angles, flips."""
    source = rng.choice(len(rotations), number, replace=False)
    psi, mirrored = rng.uniform(0, 2 * np.pi, number), np.arange(number) % 2 == 0
    copies = known_turns(psi, mirrored) @ rotations[source]
    return np.concatenate([rotations, copies]), source, psi, mirrored


def test_turns_are_those_of_the_conventions(rng):
    rotations = random_rotations(3, rng)
    turns = known_turns([0.4, 0.0, 0.7], [False, True, True])
    np.testing.assert_allclose(
        turns[0] @ rotations[0], turn_in_plane(rotations[:1], 0.4)[0], atol=1e-12
    )
    np.testing.assert_allclose(turns[1] @ rotations[1], mirror(rotations[1]), atol=1e-12)
    np.testing.assert_allclose(
        turns[2] @ rotations[2], turn_in_plane(mirror(rotations[2:]), 0.7)[0], atol=1e-12
    )


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("noise_rad", [0.0, 0.1, 0.3])
def test_a_moved_beam_is_found(rng, inverted, noise_rad):
    truth = random_rotations(500, rng)
    together, source, psi, mirrored = copies_of(truth, 200, rng)
    together = (
        Rotation.from_rotvec(noise_rad * rng.standard_normal((700, 3))).as_matrix() @ together
    )
    left, right = random_rotations(2, rng)
    moved = left @ (np.swapaxes(together, 1, 2) if inverted else together) @ right
    beam = choose_beam_axis(moved[source], moved[500:], psi, mirrored)
    assert beam.inverted == inverted
    assert beam.median_residual_rad < 0.6 * beam.other_median_residual_rad
    error = physical_error_rad(beam.apply(moved[:500]), truth)
    assert error < 1.05 * register_orthogonal4(moved[:500], truth).mean_residual_rad + 1e-7
    if noise_rad < 0.2:
        assert physical_error_rad(moved[:500], truth) > 0.5


@pytest.mark.parametrize("inverted", [False, True])
def test_a_moved_beam_is_found_where_mirrored_copies_are_of_a_particle_turned_by_half(
    rng, inverted
):
    """As a network sees a D2 particle that it knows from a quarter of the sphere."""
    truth = hemisphere(500, rng, octants=2)
    together, source, psi, mirrored = copies_of(truth, 200, rng)
    together[500:][mirrored] = together[500:][mirrored] @ np.diag([1.0, -1.0, -1.0])
    assert viewing_directions(together)[:, 1:].min() > 0
    together = Rotation.from_rotvec(0.05 * rng.standard_normal((700, 3))).as_matrix() @ together
    left, right = random_rotations(2, rng)
    moved = left @ (np.swapaxes(together, 1, 2) if inverted else together) @ right
    plain, beam = (
        choose_beam_axis(moved[source], moved[500:], psi, mirrored, half_turn=half)
        for half in (False, True)
    )
    error, lost = (physical_error_rad(b.apply(moved[:500]), truth) for b in (beam, plain))
    best = register_orthogonal4(moved[:500], truth).mean_residual_rad
    assert beam.inverted == inverted
    assert error < 1.05 * best + 1e-7
    assert lost > 3 * best


def test_from_noisy_distances_to_physical_rotations(rng):
    truth = random_rotations(400, rng)
    together, source, psi, mirrored = copies_of(truth, 120, rng)
    i, j = np.triu_indices(520, 1)
    d = angular_distance_rad(together[i], together[j]) + rng.normal(0, 0.5, len(i))
    recovered = recover_rotations(pairs_from_arrays(i, j, d)).rotations
    beam = choose_beam_axis(recovered[source], recovered[400:], psi, mirrored)
    error = physical_error_rad(beam.apply(recovered[:400]), truth)
    assert error < 1.05 * register_orthogonal4(recovered[:400], truth).mean_residual_rad


def test_copies_that_leave_something_open_are_refused(rng):
    a = random_rotations(4, rng)
    with pytest.raises(ValueError, match="mirrored copies as well"):
        choose_beam_axis(a, a, np.ones(4), np.zeros(4, dtype=bool))
    with pytest.raises(ValueError, match="turned in-plane"):
        choose_beam_axis(a, a, np.array([0, np.pi, 1, 1]), np.array([False, False, True, True]))
    with pytest.raises(ValueError, match="as many copies"):
        choose_beam_axis(a, a[:3], np.ones(4), np.array([False, False, True, True]))
