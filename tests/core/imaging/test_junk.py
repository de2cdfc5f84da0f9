"""What junk looks like: moved images, edges, other molecules."""

import tracemalloc

import numpy as np
import pytest

from cryoposes_plugin.core.fourier.masks import squared_radius
from cryoposes_plugin.core.fourier.shells import shell_index, shell_means
from cryoposes_plugin.core.image_kinds import PARTICLE, kinds_as_text, true_kinds
from cryoposes_plugin.core.imaging.draws import draw_kinds
from cryoposes_plugin.core.imaging.junk import (
    displaced,
    edge,
    other_molecule,
    projections_of_another,
    with_spectrum_of,
)
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.maps.size import radius_of_gyration_px

from ...particle_sets import make_particles

BOX = 40


@pytest.fixture
def point():
    image = np.zeros((BOX, BOX))
    image[20, 20] = 1.0
    return image


def test_an_image_moves_by_the_distances_given_in_all_directions(point):
    rng = np.random.default_rng(0)
    places = [
        np.argwhere(displaced(point, (1.0, 2.0), 8.0, rng) == 1.0)[0] - 20 for _ in range(200)
    ]
    distances = np.linalg.norm(places, axis=1)
    assert distances.min() > 8.0 - 0.8
    assert distances.max() < 16.0 + 0.8
    assert np.abs(np.mean(places, axis=0)).max() < 3 * 12 / np.sqrt(2 * 200)


def test_what_leaves_the_box_is_lost(point):
    assert displaced(point, (4.0, 4.0), 8.0, np.random.default_rng(0)).sum() == 0


def test_enough_of_a_displaced_image_stays_in_the_box():
    disc = (squared_radius(40, 2) < 8**2).astype(np.float32)
    rng = np.random.default_rng(0)
    shares = [displaced(disc, (1.0, 4.0), 8.0, rng, 0.25).sum() / disc.sum() for _ in range(200)]
    assert min(shares) >= 0.25


def test_an_edge_has_two_levels_and_mean_zero():
    rng = np.random.default_rng(1)
    edges = np.stack([edge(BOX, rng) for _ in range(100)])
    assert edges.mean(axis=(1, 2)) == pytest.approx(np.zeros(100), abs=1e-9)
    heights = np.ptp(edges, axis=(1, 2)) / 2
    assert heights.min() > 0.9
    assert heights.max() <= 4.0
    assert heights.mean() == pytest.approx(2.5, abs=0.4)


def test_projections_of_another_molecule_have_about_its_size(rng):
    """Mean square distances in a projection are two thirds of those in the density."""
    squared = squared_radius(96, 2)
    for image in projections_of_another(96, 12.0, 3, rng):
        size = np.sqrt(1.5 * (image * squared).sum() / image.sum())
        assert 0.6 * 12 < size < 1.3 * 12


def test_projections_of_another_molecule_take_little_memory(rng):
    tracemalloc.start()
    projections_of_another(192, 40.0, 2, rng)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 192**3


def test_another_molecule_has_about_the_size_asked_for():
    rng, wanted = np.random.default_rng(2), 6.0
    sizes = [radius_of_gyration_px(other_molecule(BOX, 5.0, wanted, rng)) for _ in range(5)]
    assert min(sizes) > 0.7 * wanted
    assert max(sizes) < 1.15 * wanted
    assert np.ptp(sizes) > 0.05 * wanted


def test_a_density_takes_the_power_of_another_in_every_shell():
    reference, density = make_phantom(32, 5.0, 1).data, make_phantom(32, 5.0, 2).data
    changed = with_spectrum_of(reference, density)
    shells = shell_index(32)
    power, wanted = (
        shell_means(np.abs(np.fft.rfftn(data)) ** 2, shells) for data in (changed, reference)
    )
    assert power[:17] == pytest.approx(wanted[:17], rel=1e-3)
    assert np.corrcoef(changed.ravel(), density.ravel())[0, 1] > 0.8


def test_kinds_are_in_equal_parts_and_one_particle_is_left():
    kinds = draw_kinds(("a", "b"), 0.3, 40, 1)
    assert [(kinds == name).sum() for name in (PARTICLE, "a", "b")] == [28, 6, 6]
    assert (draw_kinds(("a",), 0.95, 2, 1) == PARTICLE).sum() == 1
    assert (draw_kinds(("a",), 0.0, 9, 1) == PARTICLE).all()


def test_the_order_of_kinds_depends_on_the_seed_alone():
    first, again, other = (draw_kinds(("a", "b"), 0.5, 60, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_kinds_come_back_from_their_column(tmp_path):
    table = make_particles(tmp_path / "s.mrcs", 2)
    kinds = np.array(["particle", "off centre"])
    column = kinds_as_text(kinds)
    assert column.tolist() == ["particle", "off_centre"]
    marked = table.replace(extra={"cryoposesTrueKind": column})
    assert true_kinds(table, marked).tolist() == kinds.tolist()
    assert true_kinds(table) is None


def test_a_seed_gives_the_junk_that_it_always_gave():
    """Decoys are made of it: their numbers may not change unnoticed."""
    step = edge(BOX, np.random.default_rng(5))
    assert step[20, 17:21] == pytest.approx([-1.021955, -1.018455, -1.014234, -1.009146], abs=1e-6)
    ramp = np.arange(1.0 * BOX**2).reshape(BOX, BOX)
    away = displaced(ramp, (0.9, 2.6), 6.0, np.random.default_rng(5))
    assert away[20, 18:22].tolist() == [1333, 1334, 1335, 1336]
    density = other_molecule(24, 5.0, 4.0, np.random.default_rng(5))
    assert density[12, 12, 10:14] == pytest.approx([6.77091, 9.06592, 9.2611, 6.92679], abs=1e-4)
