"""Sets made of several: ids, optics groups, and what not all of them have."""

import dataclasses

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.particles.merging import merged_tables
from cryoposes_plugin.core.scores import MERGED_FROM, TRACE

from ...particle_sets import make_particles

NAMES = ("a.star", "b.star")


@pytest.fixture
def tables(tmp_path):
    a = make_particles(tmp_path / "a.mrcs", 5, seed=1, ids=np.arange(1, 6))
    return a, make_particles(tmp_path / "b.mrcs", 4, seed=2, ids=np.arange(4, 8))


def test_particles_stand_one_after_the_other(tables):
    found = merged_tables(tables, NAMES)
    np.testing.assert_array_equal(
        found.rotations, np.concatenate([table.rotations for table in tables])
    )


def test_ids_stay_unless_they_are_taken(tables):
    found = merged_tables(tables, NAMES)
    assert found.ids.tolist() == [1, 2, 3, 4, 5, 8, 9, 6, 7]
    assert found.extra[MERGED_FROM][[0, 5, 8]].tolist() == ["1:1", "2:4", "2:7"]


def test_equal_optics_groups_are_one(tables):
    assert len(merged_tables(tables, NAMES).optics) == 1


def test_groups_that_differ_get_names_of_their_own(tables):
    a, b = tables
    other = dataclasses.replace(b.optics[0], voltage_kv=200.0)
    found = merged_tables((a, b.replace(optics=(other,))), NAMES)
    assert [group.name for group in found.optics] == ["test", "test_2"]
    assert found.optics_index.tolist() == [0] * 5 + [1] * 4


def test_an_image_of_two_sets_comes_from_the_first(tables, caplog):
    a, _ = tables
    found = merged_tables((a.take([0, 1, 2]), a.take([1, 2, 3, 4])), NAMES)
    assert found.ids.tolist() == [1, 2, 3, 4, 5]
    assert "2 particles have an image that is in an earlier set too" in caplog.text


def test_scores_of_one_set_are_left_out_and_named(tables, caplog):
    a, b = tables
    found = merged_tables((a.replace(scores={TRACE: np.zeros(5)}), b), NAMES)
    assert found.scores == {}
    assert TRACE in caplog.text


def test_poses_of_one_set_alone_are_refused(tables):
    a, b = tables
    bare = b.replace(rotations=None, shifts_px=None)
    with pytest.raises(InputError, match="^The particles of b.star have no orientations"):
        merged_tables((a, bare), NAMES)


def test_a_set_of_relion_and_one_of_cryosparc(tables, tmp_path):
    """Written as STAR and as .cs, read back, merged, and written and read once more."""
    a, b = tables
    for table in (a, b):
        write_stack(table.stack_paths[0], np.zeros((len(table), 32, 32), np.float32), 5.0)
    uids = np.array([2**63 + 5, 7, 2**40, 11], dtype=np.uint64).view(np.int64)
    write_particles(tmp_path / "a.star", a)
    write_particles(tmp_path / "b.cs", b.replace(ids=uids))
    read = [read_particles(tmp_path / name, ("poses",)) for name in ("a.star", "b.cs")]
    write_particles(tmp_path / "both.star", merged_tables(read, ("a.star", "b.cs")))
    both = read_particles(tmp_path / "both.star", ("poses", "ctf"))
    assert both.ids.tolist() == [*a.ids, *uids]
    np.testing.assert_allclose(
        both.rotations, np.concatenate([a.rotations, b.rotations]), atol=1e-6
    )
    np.testing.assert_allclose(
        both.ctf.defocus_u_angstrom,
        np.concatenate([t.ctf.defocus_u_angstrom for t in (a, b)]),
        rtol=1e-6,
    )
