"""Decoys made of a set's own images: what they keep of them."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from cryoposes_plugin.core.image_kinds import NOISE
from cryoposes_plugin.core.imaging.junk import moved_onto
from cryoposes_plugin.core.particles.batches import ParticleBatches
from cryoposes_plugin.core.particles.images import ResampledImages
from cryoposes_plugin.core.trust.own_decoys import (
    KINDS,
    OwnDecoys,
    halves,
    mosaic,
    particle_radius_px,
    scrambled,
)

from ...particle_sets import make_particles

BOX, NUMBER = 32, 80


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def particles(tmp_path_factory):
    from cryoposes_plugin.core.io.mrc import write_stack

    folder = tmp_path_factory.mktemp("set")
    table = make_particles(folder / "s.mrcs", NUMBER, BOX, 4.0)
    rng = np.random.default_rng(6)
    squared = ((np.indices((BOX, BOX)) - BOX // 2) ** 2).sum(axis=0)
    ball = np.exp(-squared / (2 * 3.0**2)) * rng.choice([2.0, 3.0, 4.0], (NUMBER, 1, 1))
    write_stack(folder / "s.mrcs", ball + rng.standard_normal((NUMBER, BOX, BOX)), 4.0)
    return ParticleBatches(table, ResampledImages(table, BOX, 4.0))


def test_a_scrambled_image_keeps_its_power(rng):
    image = rng.standard_normal((BOX, BOX)) + 3.0
    power = [np.abs(np.fft.fft2(i)) for i in (image, scrambled(image, rng))]
    np.testing.assert_allclose(power[1], power[0], rtol=1e-9)


def test_a_scrambled_image_has_other_phases(rng):
    image = rng.standard_normal((BOX, BOX))
    assert abs(np.corrcoef(image.ravel(), scrambled(image, rng).ravel())[0, 1]) < 0.15


@pytest.mark.parametrize(
    "made", [lambda a, b: mosaic(a, b, 9.0, 0.7), lambda a, b: halves(a, b, 0.7)]
)
def test_two_images_in_one_keep_the_noise_variance(rng, made):
    """An average of the images would halve it."""
    pixels = made(*rng.standard_normal((2, 256, 256)))
    assert pixels.var() == pytest.approx(1.0, abs=0.02)


def test_a_mosaic_shows_one_particle_here_and_one_there():
    image = np.zeros((BOX, BOX))
    image[16, 16] = 1.0
    both = mosaic(image, 2.0 * image, 8.0, 0.0)
    assert both[16, 16] == 1.0 and both[16, 24] == 2.0 and both.sum() == 3.0


def test_what_is_moved_leaves_background_behind():
    image, background = np.ones((BOX, BOX)), np.full((BOX, BOX), 5.0)
    found = moved_onto(image, 6.0, np.pi / 2, background)
    assert (found[:6] == 5.0).all() and (found[6:] == 1.0).all()


def test_radius_of_gyration_of_balls(particles):
    """Smoothed, the balls have a width of sqrt(3^2 + 3^2) px, and their squares one of 3 px."""
    found = particle_radius_px(particles, np.arange(NUMBER))
    assert found == pytest.approx(np.sqrt(1.5) * np.sqrt(2) * 3.0, rel=0.2)


def test_decoys_do_not_depend_on_the_batch(particles):
    """A run that continues, with other batches, finds the same decoys."""
    decoys = OwnDecoys.of(particles, 3)
    number = 7 * len(decoys) // 12
    alone = decoys.read_batch(np.array([number])).images[0]
    with_others = decoys.read_batch(np.arange(number - 2, number + 3)).images[2]
    np.testing.assert_array_equal(alone, with_others)


def test_every_kind_is_as_frequent(particles):
    kinds, counts = np.unique(OwnDecoys.of(particles, 3).kind, return_counts=True)
    assert sorted(kinds) == sorted(KINDS) and len(set(counts)) == 1


def test_noise_has_the_level_of_the_background_and_not_of_the_image(particles):
    decoys = OwnDecoys.of(particles, 3)
    images = decoys.read_batch(np.flatnonzero(decoys.kind == NOISE)).images
    assert images.std() == pytest.approx(1.0, rel=0.1)
