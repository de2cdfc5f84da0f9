"""Images that are there twice under two names count once, and half sets are told where they are not
alike.
"""

import shutil

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.io.ids import image_groups
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.stack_copies import originals
from cryoposes_plugin.core.particles.halves import half_sets

from ...particle_sets import make_particles


@pytest.fixture
def twice(tmp_path, rng):
    """Images 1 to 4 of a stack and 3 to 6 of its copy."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    write_stack(tmp_path / "a/p.mrcs", rng.normal(size=(6, 32, 32)), 5.0)
    shutil.copy(tmp_path / "a/p.mrcs", tmp_path / "b/p.mrcs")
    return make_particles(
        "",
        8,
        stack_paths=(tmp_path / "a/p.mrcs", tmp_path / "b/p.mrcs"),
        stack_index=np.repeat([0, 1], 4),
        slice_index=np.array([0, 1, 2, 3, 2, 3, 4, 5]),
    )


def test_images_of_a_copied_stack_are_the_same_images(twice):
    groups = image_groups(twice)
    assert len(set(groups)) == 6
    np.testing.assert_array_equal(groups[2:4], groups[4:6])


def test_stacks_of_one_size_with_other_images_are_others(twice, rng):
    a, b = twice.stack_paths
    write_stack(b, rng.normal(size=(6, 32, 32)), 5.0)
    gone, blank, other_blank = (a.with_name(name) for name in ("gone", "blank", "other_blank"))
    for path in (blank, other_blank):
        write_stack(path, np.zeros((60, 32, 32)), 5.0)
    paths = [a, b, gone, blank, other_blank]
    assert originals(paths) == {path: path for path in paths}


def test_copies_are_drawn_into_one_half_and_named(twice, caplog):
    half, _ = half_sets(twice, 0)
    np.testing.assert_array_equal(half[2:4], half[4:6])
    assert "The 8 particles are only 6 images" in caplog.text
    assert f"Stack {twice.stack_paths[1]} is a copy of {twice.stack_paths[0]}" in caplog.text


def test_copies_in_both_given_halves_are_an_error(twice):
    with pytest.raises(InputError, match=r"is in both .*Stack .*b/p.mrcs is a copy of .*a/p.mrcs"):
        half_sets(twice.replace(random_subset=np.repeat([1, 2], 4)), 0)


@pytest.mark.parametrize(("first", "asked"), [(3, True), (20, False)])
def test_half_sets_that_are_not_alike_are_asked_about(tmp_path, caplog, first, asked):
    table = make_particles(
        tmp_path / "p.mrcs", 60, random_subset=np.repeat([1, 2], [first, 60 - first])
    )
    half_sets(table, 0)
    assert ("Half set 1 holds 3 particles and half set 2 holds 57" in caplog.text) is asked
