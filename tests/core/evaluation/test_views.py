"""The sampling compensation factor against closed forms and against a count slice by slice."""

import re

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.evaluation.views import (
    sampling_compensation_factor,
    smeared_axis,
    smearing_sentence,
    views_statement,
)
from cryoposes_plugin.core.geometry.sampling import preferred, random_rotations, rotations_viewing
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations

C1 = np.eye(3)[None]


def viewing(directions):
    directions = np.asarray(directions, dtype=np.float64)
    return rotations_viewing(directions, np.zeros(len(directions)))


def side_views(number):
    phi = np.random.default_rng(1).uniform(0, 2 * np.pi, number)
    return viewing(np.stack([np.cos(phi), np.sin(phi), np.zeros(number)], axis=1))


def test_even_views_have_a_factor_of_one(rng):
    sampling = sampling_compensation_factor(random_rotations(50_000, rng), C1)
    assert sampling.scf_star == pytest.approx(1, abs=0.01)
    assert sampling.slices.mean() == pytest.approx(50_000 / 100, rel=0.01)


@pytest.mark.parametrize("number", [30_000, 150_000])
def test_side_views_have_their_closed_form_whether_binned_or_not(number):
    """S goes as 1 / sin(theta): 1 / (mean(sin) mean(1 / sin)) = 8 / pi^2."""
    sampling = sampling_compensation_factor(side_views(number), C1)
    assert sampling.scf_star == pytest.approx(8 / np.pi**2, abs=0.01)


def test_one_view_leaves_all_directions_but_a_great_circle_unseen():
    """The circle is 1 / radius thick and covers 1 / (2 radius) of the sphere; SCF is 2 radius, and
    SCF* = 2 r / (1 + (2 r - 1) N).
    """
    number, radius = 70, 20
    top = viewing(np.tile([0.0, 0.0, 1.0], (number, 1)))
    sampling = sampling_compensation_factor(top, C1, radius_px=radius)
    assert sampling.unseen_share == pytest.approx(1 - 1 / (2 * radius), abs=1e-3)
    assert sampling.scf == pytest.approx(2 * radius, rel=0.02)
    assert sampling.scf_star == pytest.approx(
        2 * radius / (1 + (2 * radius - 1) * number), rel=0.02
    )


def test_a_map_is_smeared_along_the_preferred_view(rng):
    view = np.array([0.6, 0.0, 0.8])
    rotations = preferred(2000, rng, view[None], 30.0)
    sampling = sampling_compensation_factor(rotations, C1)
    assert smeared_axis(sampling) @ view > 0.99


def test_a_smeared_map_is_told_with_its_axis(rng):
    rotations = preferred(2000, rng, np.array([[0.0, 0.0, 1.0]]), 100.0)
    found = sampling_compensation_factor(rotations, C1)
    even = sampling_compensation_factor(random_rotations(2000, rng), C1)
    assert re.search(r"smeared along .*, -?0\.0\d, 1\.00\)", smearing_sentence(found, even))


def test_nothing_is_told_of_even_views(rng):
    one, two = (sampling_compensation_factor(random_rotations(200, rng), C1) for _ in "ab")
    assert smearing_sentence(one, two) is None


def test_symmetry_fills_directions_in_like_the_expanded_set(rng):
    group = symmetry_rotations("D3")
    tilted = viewing([0.2, 0.1, 1.0] + 0.1 * rng.standard_normal((300, 3)))
    expanded = np.concatenate([tilted @ g for g in group])
    of_group = sampling_compensation_factor(tilted, group)
    np.testing.assert_allclose(
        of_group.slices, sampling_compensation_factor(expanded, C1).slices, atol=0
    )
    assert of_group.unseen_share < sampling_compensation_factor(tilted, C1).unseen_share


def test_bins_count_like_single_slices(rng):
    """150,000 particles are binned; brute force counts each of them."""
    rotations = viewing([0.0, 0.4, 1.0] + 0.7 * rng.standard_normal((150_000, 3)))
    sampling = sampling_compensation_factor(rotations, C1)
    some = np.arange(0, len(sampling.directions), 50)
    exact = np.zeros(len(some))
    for part in np.array_split(rotations[:, 2], 20):
        exact += (np.abs(sampling.directions[some] @ part.T) < 0.5 / 50).sum(axis=1)
    ratio = sampling.slices[some] / exact
    assert ratio.mean() == pytest.approx(1, abs=0.003)
    assert ratio.std() < 0.03


def test_a_weight_stands_for_so_many_particles(rng):
    rotations = viewing(rng.standard_normal((500, 3)))
    twice = sampling_compensation_factor(np.repeat(rotations, 2, axis=0), C1, radius_px=15)
    weighted = sampling_compensation_factor(rotations, C1, np.full(500, 2.0), radius_px=15)
    assert weighted[:3] == pytest.approx(twice[:3], rel=1e-5)


def test_no_particle_has_no_views():
    with pytest.raises(InputError, match="asked of no particle"):
        sampling_compensation_factor(np.zeros((0, 3, 3)), C1)


@pytest.mark.parametrize(
    ("scf_star", "cfar", "said"),
    [
        (0.9, 0.7, "equally good in all directions."),
        (0.9, 0.3, "particles are junk"),
        (0.3, 0.7, "Nothing has to be done"),
        (0.3, 0.3, "collect other views"),
    ],
)
def test_each_combination_of_the_two_has_its_meaning(scf_star, cfar, said):
    sentence = views_statement(scf_star, cfar)
    assert said in sentence
    assert sentence.startswith(f"SCF* {scf_star:.2f} (usual limit 0.81), cFAR {cfar:.2f}")
