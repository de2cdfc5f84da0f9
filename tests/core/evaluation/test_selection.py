"""Which particles are kept: the false discovery rate in closed form and against the truth, the gain
of the reconstruction against every subset, and the same share of every view.
"""

from itertools import combinations

import numpy as np
import pytest

from cryoposes_plugin.core.conventions import viewing_directions
from cryoposes_plugin.core.evaluation.selection import (
    accept_at_rate,
    accept_gaining,
    accept_share,
    accept_share_of_cells,
    displacement_angstrom,
    remaining_signal,
    typical_resolution_angstrom,
    view_cells,
)
from cryoposes_plugin.core.evaluation.views import sampling_compensation_factor
from cryoposes_plugin.core.geometry.sampling import preferred, random_rotations
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations

C1 = np.eye(3)[None]


@pytest.mark.parametrize(
    ("rate", "kept"), [(0.0, 2), (0.01, 3), (0.02, 4), (0.1, 5), (0.4, 5), (1.0, 5)]
)
def test_the_largest_set_at_a_rate(rate, kept):
    """Means of the lowest 1, 2, ...: 0, 0, 0.01, 0.02, 0.1, then one that is more likely junk."""
    probabilities = np.array([0.42, 0.0, 0.03, 0.6, 0.0, 0.05])
    accepted = accept_at_rate(probabilities, rate)
    assert accepted.sum() == kept
    assert not accepted[3]


def test_equal_probabilities_are_kept_together_or_not_at_all():
    accepted = accept_at_rate(np.array([0.0, 0.0, 0.04, 0.04]), 0.015)
    assert accepted.tolist() == [True, True, False, False]


def test_the_rate_told_is_the_rate_of_a_calibrated_set():
    rng = np.random.default_rng(1)
    probabilities = rng.beta(0.08, 0.3, 200_000)
    junk = rng.uniform(size=len(probabilities)) < probabilities
    accepted = accept_at_rate(probabilities, 0.02)
    told, number = probabilities[accepted].mean(), accepted.sum()
    assert told == pytest.approx(0.02, rel=0.01)
    assert junk[accepted].mean() == pytest.approx(told, abs=4 * np.sqrt(told / number))


@pytest.mark.parametrize("seed", range(5))
def test_no_subset_gains_more(seed):
    weights = np.random.default_rng(seed).beta(0.4, 0.4, 10)
    found = accept_gaining(weights)
    best = max(
        weights[list(rows)].sum() ** 2 / n
        for n in range(1, 11)
        for rows in combinations(range(10), n)
    )
    kept = weights[found.accepted]
    assert kept.sum() ** 2 / len(kept) == pytest.approx(best, rel=0.01)
    assert found.gain == pytest.approx(best / (weights.sum() ** 2 / 10) - 1, abs=0.01)


def test_a_particle_helps_above_half_the_mean():
    good = np.ones(1000)
    assert accept_gaining(np.append(good, np.full(1000, 0.51))).accepted.all()
    assert accept_gaining(np.append(good, np.full(1000, 0.30))).accepted.sum() == 1000


def test_no_particle_is_rejected_for_a_small_gain():
    found = accept_gaining(np.append(np.ones(1000), np.full(5, 0.1)))
    assert found.accepted.all()
    assert found.gain == 0


def test_the_displacement_is_that_of_points_in_a_ball():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(200_000, 3))
    points *= (30 * rng.uniform(size=len(points)) ** (1 / 3) / np.linalg.norm(points, axis=1))[
        :, None
    ]
    axes = rng.normal(0, np.deg2rad(2) / np.sqrt(3), points.shape)
    moved = np.cross(axes, points)[:, 0] + rng.normal(0, 1 / np.sqrt(2), len(points))
    expected = displacement_angstrom(np.array([2.0]), np.array([1.0]), np.array([100.0]))
    assert expected[0] == pytest.approx(moved.std(), rel=0.01)


def test_the_typical_error_leaves_the_named_signal():
    displaced = np.array([1.0, 2.0, 3.0])
    resolution = typical_resolution_angstrom(displaced, 1.0)
    assert remaining_signal(displaced, resolution)[1] == pytest.approx(np.exp(-0.5))
    assert typical_resolution_angstrom(displaced / 1000, 1.0) == 2


@pytest.mark.parametrize("name", ["C1", "C4", "D2"])
def test_equivalent_and_opposite_views_are_in_one_cell(name):
    group = symmetry_rotations(name)
    rotations = random_rotations(400, np.random.default_rng(3))
    cells = view_cells(rotations, group, 50)
    assert np.bincount(cells).min() >= 50
    # each cell of the copies holds the copies of one cell: opposites by a half turn about y
    turned = np.diag([-1.0, 1.0, -1.0]) @ rotations @ group[-1]
    np.testing.assert_array_equal(view_cells(turned, group, 50), cells)


def test_cells_are_parts_of_the_sphere():
    rotations = random_rotations(6400, np.random.default_rng(4))
    cells, views = view_cells(rotations, C1, 50), viewing_directions(rotations)
    spread = [np.linalg.svd(views[cells == c])[1][0] ** 2 / (cells == c).sum() for c in range(20)]
    assert min(spread) > 0.9


def test_every_cell_keeps_its_share():
    rng = np.random.default_rng(5)
    cells = rng.integers(0, 7, 700)
    scores = rng.normal(size=700) + cells
    accepted = accept_share_of_cells(scores, cells, 0.6)
    for cell in range(7):
        part = cells == cell
        assert abs(accepted[part].sum() - 0.6 * part.sum()) <= 1
        assert scores[part & accepted].max() < scores[part & ~accepted].min()
    assert accepted.sum() == 420


def test_the_frequent_view_does_not_push_out_the_others():
    """Ten times as many in one view, which has the better scores."""
    rng = np.random.default_rng(6)
    rotations = np.concatenate(
        [random_rotations(4000, rng), preferred(16000, rng, np.array([[0.0, 0, 1]]), 20.0)]
    )
    scores = rng.normal(size=20_000) - 3 * np.abs(viewing_directions(rotations)[:, 2])
    cells = view_cells(rotations, C1)
    before, even, plain = (
        sampling_compensation_factor(rotations[rows], C1).scf_star
        for rows in (
            np.ones(20_000, dtype=bool),
            accept_share_of_cells(scores, cells, 0.75),
            accept_share(scores, 0.75),
        )
    )
    assert even == pytest.approx(before, rel=0.03)
    assert plain < 0.9 * before
