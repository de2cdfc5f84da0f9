"""Symmetry expansion: the copies, RELION's program on the same file, and the way back."""

from pathlib import Path

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.subgroups import cosets
from cryoposes_plugin.core.geometry.symmetry import symmetric_distance_rad
from cryoposes_plugin.core.io.ids import image_groups
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.particles.symmetry_expansion import collapsed, expanded
from cryoposes_plugin.core.scores import EXPANDED_FROM, MATE, MATE_PROBABILITY

from ...particle_sets import make_particles

NUMBER = 7


@pytest.fixture
def table(tmp_path):
    return make_particles(tmp_path / "stack.mrcs", NUMBER)


def test_every_particle_is_at_every_mate(table):
    mates = cosets("D3", "C3")
    found = expanded(table, mates)
    rotations = found.rotations.reshape(NUMBER, len(mates), 3, 3)
    np.testing.assert_allclose(rotations, table.rotations[:, None] @ mates.representatives)


def test_copies_have_ids_of_their_own_and_tell_their_origin(table):
    found = expanded(table, cosets("C4", "C1"))
    assert len(np.unique(found.ids)) == 4 * NUMBER
    assert found.extra[EXPANDED_FROM].astype(int).tolist() == np.repeat(table.ids, 4).tolist()
    assert found.scores[MATE].tolist() == [0, 1, 2, 3] * NUMBER


def test_copies_show_the_same_image(table):
    found = expanded(table, cosets("C4", "C1"))
    assert (np.bincount(image_groups(found)) == 4).all()


def test_collapsing_gives_the_particles_back(table):
    found = collapsed(expanded(table, cosets("O", "D4")))
    np.testing.assert_array_equal(found.ids, table.ids)
    np.testing.assert_array_equal(found.rotations, table.rotations)
    assert EXPANDED_FROM not in found.extra


def test_collapsing_keeps_the_likeliest_copy(table, rng):
    mates = cosets("C4", "C1")
    whole = expanded(table, mates)
    chosen = rng.integers(4, size=NUMBER)
    probability = (whole.scores[MATE] == np.repeat(chosen, 4)).astype(float)
    mixed = whole.replace(scores={**whole.scores, MATE_PROBABILITY: probability})
    found = collapsed(mixed.take(rng.permutation(4 * NUMBER)))
    order = np.argsort(found.ids)
    np.testing.assert_array_equal(found.scores[MATE][order], chosen[np.argsort(table.ids)])


def test_an_expanded_set_is_not_expanded_again(table):
    whole = expanded(table, cosets("C2", "C1"))
    with pytest.raises(InputError, match="were expanded before"):
        expanded(whole, cosets("C2", "C1"))


def test_a_set_that_was_not_expanded_cannot_be_collapsed(table):
    with pytest.raises(InputError, match="expand-symmetry"):
        collapsed(table)


@pytest.mark.parametrize("group", ["C4", "D3", "T", "I1"])
def test_copies_are_those_of_relion(table, relion, tmp_path, group):
    """relion_particle_symmetry_expand: as many copies of each image, at the same poses."""
    write_stack(tmp_path / "stack.mrcs", np.zeros((NUMBER, 32, 32), np.float32), 5.0)
    write_particles(tmp_path / "in.star", table)
    relion(
        "relion_particle_symmetry_expand",
        *("--i", "in.star", "--o", "theirs.star", "--sym", group),
        cwd=tmp_path,
    )
    theirs = read_particles(tmp_path / "theirs.star", ("poses",), str(tmp_path))
    ours = expanded(table, cosets(group, "C1"))
    assert len(theirs) == len(ours)
    for slice_index in range(NUMBER):
        a = ours.rotations[ours.slice_index == slice_index]
        b = theirs.rotations[theirs.slice_index == slice_index]
        apart = np.abs(a[:, None] - b[None]).max(axis=(2, 3))
        assert np.max(apart.min(axis=1)) < 1e-4
        assert len(np.unique(apart.argmin(axis=1))) == len(a)


def test_copies_are_equivalent(table):
    mates = cosets("D7", "C1")
    found = expanded(table, mates)
    first = np.repeat(table.rotations, len(mates), axis=0)
    assert symmetric_distance_rad(found.rotations, first, mates.group).max() < 1e-6


def test_files_keep_the_origin(table, tmp_path):
    write_stack(Path(table.stack_paths[0]), np.zeros((NUMBER, 32, 32), np.float32), 5.0)
    write_particles(tmp_path / "out.star", expanded(table, cosets("C2", "C1")))
    back = collapsed(read_particles(tmp_path / "out.star", ("poses",), str(tmp_path)))
    np.testing.assert_array_equal(back.ids, table.ids)
