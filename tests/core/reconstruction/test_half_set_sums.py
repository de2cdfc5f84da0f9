"""Sums over parts of the particles, added and read back, give the maps of one pass."""

import numpy as np
import pytest

from cryoposes_plugin.core import needs
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.reconstruction.fourier_method import fourier_maps, fourier_sums, maps_of
from cryoposes_plugin.core.reconstruction.half_set_sums import HalfSetSums
from cryoposes_plugin.core.reconstruction.particles import ReconstructionParticles

from ...exact_projections import ctf_table, exact_projections, particle_set, transfer_of

BOX, PIXEL, NUMBER = 32, 5.0, 40
PARTS = (slice(0, 11), slice(11, 29), slice(29, NUMBER))


@pytest.fixture(scope="module")
def read(asymmetric_volume, tmp_path_factory):
    """A function that reads the particles as a new process does."""
    rng = np.random.default_rng(5)
    rotations, shifts = random_rotations(NUMBER, rng), rng.normal(0, 1, (NUMBER, 2))
    ctf = ctf_table(NUMBER, rng)
    volume = asymmetric_volume.data[8:40, 8:40, 8:40]
    images = exact_projections(volume, rotations, shifts, transfer_of(ctf, BOX, PIXEL))
    images[3] = 0
    folder = tmp_path_factory.mktemp("set")
    star, _ = particle_set(folder, images, rotations, shifts, PIXEL, ctf)
    half = 1 + np.arange(NUMBER) % 2

    def particles():
        return ReconstructionParticles.on_common_grid(read_particles(star, ("poses",)), half)

    return particles


@pytest.fixture(scope="module")
def files(read, tmp_path_factory):
    """Files of the sums over three parts, each made from particles that were read anew."""
    folder = tmp_path_factory.mktemp("sums")
    for i, part in enumerate(PARTS):
        sums = fourier_sums(read(), "C4", np.arange(NUMBER)[part], batch_size=4)
        sums.save(folder / f"{i}.npz")
    return [folder / f"{i}.npz" for i in range(len(PARTS))]


def test_three_parts_from_files_give_the_maps_of_one_pass(read, files):
    total = HalfSetSums.load(files[0])
    for path in files[1:]:
        total.add_file(path)
    whole = fourier_maps(read(), "C4")
    for found, expected in zip(maps_of(total), whole):
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_sums_in_memory_add_as_those_of_files_do(files):
    added, total = HalfSetSums.load(files[0]), HalfSetSums.load(files[0])
    added.add_file(files[2])
    total.add(HalfSetSums.load(files[2]))
    np.testing.assert_array_equal(total.of_half(2).sums, added.of_half(2).sums)


def test_what_was_found_of_the_images_is_that_of_one_pass(read, files):
    total = HalfSetSums.load(files[0])
    for path in files[1:]:
        total.add_file(path)
    particles = read()
    particles.images.grey.found = total.found
    assert np.flatnonzero(particles.images.grey.blank).tolist() == [3]


def test_a_file_is_read_back_bit_by_bit(files):
    first = HalfSetSums.load(files[1])
    first.save(files[1].with_name("again.npz"))
    again = HalfSetSums.load(files[1].with_name("again.npz"))
    for half in (1, 2):
        np.testing.assert_array_equal(again.of_half(half).sums, first.of_half(half).sums)


def test_one_half_set_after_the_other_gives_the_same_maps(read, monkeypatch, tmp_path):
    together = fourier_maps(read(), "C4")
    monkeypatch.setattr(needs, "LARGEST_TOGETHER_BYTES", 0)
    for found, expected in zip(fourier_maps(read(), "C4", scratch=tmp_path), together):
        np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_particles_are_not_added_twice(files):
    total = HalfSetSums.load(files[1])
    with pytest.raises(InputError, match=r"hold 18 particles .* \(row 11 is the first\)"):
        total.add_file(files[1])


@pytest.mark.parametrize(
    "other",
    [(NUMBER, BOX, 2, "C1"), (NUMBER, BOX, 1, "C4"), (7, BOX, 2, "C4"), (NUMBER, 16, 2, "C4")],
)
def test_other_sums_are_refused(files, other):
    with pytest.raises(InputError, match="sum all particles with the same options"):
        HalfSetSums(*other).add_file(files[0])


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"version": np.array(2)}, "has version 2, not 1"),
        ({"sums_2": np.zeros((3, 3), np.float32)}, r"has sums_2 of shape \(3, 3\)"),
        ({"found": np.zeros((2, 2), np.int8)}, "is damaged"),
    ],
)
def test_a_file_of_something_else_is_refused(files, tmp_path, change, sentence):
    with np.load(files[0]) as archive:
        arrays = {**archive, **change}
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=sentence):
        HalfSetSums.load(tmp_path / "bad.npz")
