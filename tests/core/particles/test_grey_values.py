"""A level of grey is no signal, a gain is no signal, and one bad pixel or image spoils nothing."""

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.particles.grey_values import GreyValues, levelled
from cryoposes_plugin.core.particles.halves import half_sets
from cryoposes_plugin.core.reconstruction.fourier_method import fourier_maps
from cryoposes_plugin.core.reconstruction.particles import ReconstructionParticles

from ...exact_projections import ctf_table, exact_projections, particle_set, transfer_of

BOX, PIXEL, NUMBER = 32, 6.0, 120


@pytest.fixture(scope="module")
def normalised(tmp_path_factory, asymmetric_volume):
    """Images (N, D, D) with noise of standard deviation 1, and their STAR file."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("particles")
    rotations, shifts, ctf = (
        random_rotations(NUMBER, rng),
        rng.normal(0, 1, (NUMBER, 2)),
        ctf_table(NUMBER, rng),
    )
    volume = asymmetric_volume.data[8:40, 8:40, 8:40]
    images = exact_projections(volume, rotations, shifts, transfer_of(ctf, BOX, PIXEL))
    images = images / images.std() + rng.normal(0, 1, images.shape)
    star, _ = particle_set(folder, images.astype(np.float32), rotations, shifts, PIXEL, ctf)
    return images, star


@pytest.fixture
def maps_of(normalised):
    """Images in place of the normalised ones -> (full, half 1, half 2) maps and the particles."""
    _, star = normalised

    def maps(images):
        write_stack(star.parent / "particles.mrcs", images.astype(np.float32), PIXEL)
        table = read_particles(star, ("poses",))
        particles = ReconstructionParticles.on_common_grid(table, half_sets(table, 0)[0])
        return fourier_maps(particles), particles

    return maps


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def own(rng, low, high):
    return rng.uniform(low, high, (NUMBER, 1, 1))


CHANGES = {
    "a level of 0.5": lambda x, rng: x + 0.5,
    "a level of 100": lambda x, rng: x + 100.0,
    "levels of their own": lambda x, rng: x + own(rng, -5, 5),
    "gains of their own": lambda x, rng: x * own(rng, 0.2, 5),
    "counts": lambda x, rng: 30 * x + 900,
    "counts and gains of their own": lambda x, rng: (30 * x + 900) * own(rng, 0.5, 2),
    "two exposures": lambda x, rng: np.where(
        np.arange(NUMBER)[:, None, None] < 60, x, 40 * x + 1000
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_level_and_a_gain_are_no_signal(normalised, maps_of, change):
    images, _ = normalised
    expected, _ = maps_of(images)
    found, _ = maps_of(change(images, np.random.default_rng(1)))
    assert correlation(found[0], expected[0]) > 0.999
    shells = slice(1, BOX // 3)
    fsc = [fourier_shell_correlation(m[1], m[2])[shells] for m in (found, expected)]
    np.testing.assert_allclose(*fsc, atol=0.02)


def test_images_that_are_alike_keep_their_scale(normalised, maps_of):
    images, _ = normalised
    _, inputs = maps_of(images)
    read = inputs.images.read(np.arange(NUMBER))
    np.testing.assert_allclose(
        read - read.mean(axis=(1, 2), keepdims=True),
        images - images.mean((1, 2))[:, None, None],
        atol=1e-4,
    )
    assert inputs.images.grey.sentences() == []


def test_without_noise_there_is_no_gain(normalised, maps_of, asymmetric_volume):
    rng = np.random.default_rng(2)
    rotations, ctf = random_rotations(NUMBER, rng), ctf_table(NUMBER, rng)
    volume = asymmetric_volume.data[8:40, 8:40, 8:40]
    images = exact_projections(
        volume, rotations, np.zeros((NUMBER, 2)), transfer_of(ctf, BOX, PIXEL)
    )
    _, inputs = maps_of(images)
    read = inputs.images.read(np.arange(NUMBER))
    np.testing.assert_allclose(np.ptp(read, axis=(1, 2)), np.ptp(images, axis=(1, 2)), rtol=1e-5)
    assert inputs.images.grey.sentences() == []


def spoilt(images, which):
    images = images.copy()
    if which == "hot pixel":
        images[9, 5, 5] = 1e5
    elif which == "hot pixels of many sizes":
        images[9, 5, 5], images[9, 20, 11], images[9, 0, 31], images[9, 16, 16] = (
            1e5,
            -3e3,
            1e9,
            100.0,
        )
    elif which == "dead row of counts":
        images[9] = 30 * images[9] + 900
        images[9, 12] = 0
        images[9] /= 30
    elif which == "huge":
        images[9] *= 1e4
    elif which == "tiny":
        images[9] *= 1e-3
    return images


@pytest.mark.parametrize(
    "which", ["hot pixel", "hot pixels of many sizes", "dead row of counts", "huge", "tiny"]
)
def test_one_image_spoils_nothing_and_is_named(normalised, maps_of, which):
    images, _ = normalised
    expected, _ = maps_of(images)
    found, inputs = maps_of(spoilt(images, which))
    assert correlation(found[0], expected[0]) > 0.999
    (sentence,) = inputs.images.grey.sentences()
    assert f"particle {inputs.table.ids[9]} (image 10 of" in sentence


def test_a_line_that_is_hot_in_all_images_is_mended_in_all(normalised, maps_of):
    images, _ = normalised
    expected, _ = maps_of(images)
    hot = images.copy()
    hot[:, :, 9] += 1000.0
    found, inputs = maps_of(hot)
    assert inputs.images.grey.metrics()["images_with_hot_pixels"] == len(images)
    assert correlation(found[0], expected[0]) > 0.99


@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
def test_peaks_of_a_sharp_particle_are_no_hot_pixels(normalised, noise):
    """Points of one pixel, elsewhere in each image: the set tells that they are signal."""
    rng = np.random.default_rng(4)
    images = noise * rng.normal(size=(NUMBER, BOX, BOX))
    peaks = (np.repeat(np.arange(NUMBER), 5), *rng.integers(8, 24, (2, 5 * NUMBER)))
    images[peaks] += rng.uniform(20, 60, 5 * NUMBER)
    table = read_particles(normalised[1], ("poses",))
    grey = GreyValues(table, lambda rows: images[rows].astype(np.float32))
    assert grey.metrics()["images_with_hot_pixels"] == 0


@pytest.mark.parametrize("value", [0.0, 5.0, 900.0])
def test_blank_images_are_left_out_and_named(normalised, maps_of, value):
    images, _ = normalised
    without = images.copy()
    without[[3, 17]] = value
    maps, inputs = maps_of(without)
    (sentence,) = inputs.images.grey.sentences()
    assert sentence.startswith("There are 2 images without any contrast")
    np.testing.assert_array_equal(np.flatnonzero(inputs.images.grey.blank), [3, 17])
    # As if these had never been there: as many weights as images that tell something.
    rows = np.flatnonzero(~inputs.images.grey.blank)
    assert correlation(maps[0], maps_of(images)[0][0]) > 0.99
    assert len(rows) == NUMBER - 2


@pytest.mark.parametrize(("wrapped", "asked"), [(True, True), (False, False)])
def test_counts_that_wrapped_around_are_asked_about(normalised, maps_of, wrapped, asked):
    counts = np.rint(32000 + 3000 * normalised[0])
    if wrapped:
        counts = counts.astype(np.int64).astype(np.uint16).astype(np.int16)
    sentences = " ".join(maps_of(counts)[1].images.remarks())
    assert ("more than 32768" in sentences) is asked


def test_a_set_of_blanks_is_an_error(normalised, maps_of):
    images, _ = normalised
    with pytest.raises(InputError, match="blank"):
        maps_of(images * 0 + 7)


def test_levels_are_taken_off_in_double_precision():
    rng = np.random.default_rng(3)
    images = rng.normal(0, 1, (4, 64, 64))
    found, mended, background, whole = levelled((images + 1000).astype(np.float32))
    corners = np.hypot(*np.meshgrid(*[np.arange(64) - 32] * 2)) > 32
    level = images[:, corners].mean(axis=1)
    np.testing.assert_allclose(found, images - level[:, None, None], atol=2e-4)
    np.testing.assert_allclose(background, images[:, corners].std(axis=1), rtol=1e-4)
    assert not mended.any()
