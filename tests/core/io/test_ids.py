"""Which particles are the same: by image, by id where it does not contradict the images; copies and
half sets.
"""

from pathlib import Path

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.io.ids import image_groups, join
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.particles.halves import draw_half_sets, half_sets
from cryoposes_plugin.core.types import OpticsGroup, ParticleTable

OPTICS = (OpticsGroup("first", 2.0, 8),)


def table(*images, ids=None, subset=None):
    """Of images like 'A/p.mrcs:3'."""
    stacks, slices = zip(*(name.split(":") for name in images))
    paths = list(dict.fromkeys(stacks))
    number = len(images)
    return ParticleTable(
        ids=np.arange(1, number + 1) if ids is None else np.array(ids),
        stack_paths=tuple(map(Path, paths)),
        stack_index=np.array([paths.index(s) for s in stacks]),
        slice_index=np.array([int(s) for s in slices]),
        optics=OPTICS,
        optics_index=np.zeros(number, int),
        explicit_ids=ids is not None,
        random_subset=None if subset is None else np.array(subset),
    )


def joined(a, b, by="auto"):
    found = join(a, b, by)
    return list(zip(found.rows_a.tolist(), found.rows_b.tolist())), found.how


A = ("A/p.mrcs:1", "A/p.mrcs:2", "B/p.mrcs:1", "B/p.mrcs:2")


@pytest.mark.parametrize("ids", [None, [7, 5, 6, 8]])
@pytest.mark.parametrize("images", [A, (*A[:2], A[0], A[0]), ("A/p.mrcs:1",) * 4])
def test_a_set_is_itself(images, ids):
    """Stacks of one name in two folders, and copies of an image, included."""
    assert joined(table(*images, ids=ids), table(*images, ids=ids))[0] == [(i, i) for i in range(4)]


@pytest.mark.parametrize(
    "ids_a, ids_b, how",
    [
        ([1, 2, 3, 4], [2, 4], "id"),
        ([1, 2, 3, 4], [4, 2], "image"),
        ([1, 2, 3, 4], [9, 8], "image"),
        ([1, 2, 3, 4], [2, 9], "image"),
        (None, [5, 6], "image"),
    ],
)
def test_images_win_where_ids_contradict_them(ids_a, ids_b, how, caplog):
    found = joined(table(*A, ids=ids_a), table(A[1], A[3], ids=ids_b))
    assert found == ([(1, 0), (3, 1)], how)
    assert ("contradict their images" in caplog.text) == (how == "image" and ids_a is not None)


def test_copies_with_ids_of_their_own_are_joined_by_these():
    a = table("p.mrcs:1", "p.mrcs:1", "p.mrcs:2", ids=[1, 2, 3])
    assert joined(a, a.take([1, 0, 2])) == ([(0, 1), (1, 0), (2, 2)], "id")


@pytest.mark.parametrize(
    "ids_a, ids_b, how",
    [(None, None, "file name"), ([1, 2, 3, 4], [2, 4], "id"), ([1, 2, 3, 4], [4, 2], "file name")],
)
def test_stacks_that_were_moved_are_joined_and_that_is_said(ids_a, ids_b, how, caplog):
    moved = table("new/A/p.mrcs:2", "new/B/p.mrcs:2", ids=ids_b)
    assert joined(table(*(f"old/{name}" for name in A), ids=ids_a), moved) == (
        [(1, 0), (3, 1)],
        how,
    )
    assert "moved or copied" in caplog.text


def test_files_of_one_name_that_differ_are_said_to(tmp_path, rng, caplog):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_stack(tmp_path / name / "p.mrcs", rng.normal(size=(2, 8, 8)), 2.0)
    join(
        *(
            table(f"{tmp_path}/{name}/p.mrcs:0", f"{tmp_path}/{name}/p.mrcs:1", ids=[1, 2])
            for name in ("a", "b")
        )
    )
    assert "may be different particles" in caplog.text


def test_unrelated_sets_that_share_ids_share_nothing():
    a, b = table("a.mrcs:1", "a.mrcs:2", ids=[1, 2]), table("b.mrcs:1", "b.mrcs:2", ids=[1, 2])
    with pytest.raises(InputError, match="share no image .* though 2 ids are in both"):
        join(a, b)
    assert joined(a, b, "id") == ([(0, 0), (1, 1)], "id")
    with pytest.raises(InputError, match="no unique ids"):
        join(a, table("b.mrcs:1"), "id")


def test_copies_are_drawn_into_one_half(rng):
    images = rng.permutation(np.repeat(np.arange(200), rng.integers(1, 4, 200)))
    set_ = table(*(f"p.mrcs:{i}" for i in images))
    half, drawn = half_sets(set_, 0)
    assert drawn
    assert len(np.unique(np.stack([images, half]), axis=1).T) == 200
    assert abs(np.mean(half == 1) - 0.5) < 0.01
    np.testing.assert_array_equal(
        image_groups(set_)[:, None] == image_groups(set_), images[:, None] == images
    )


def test_without_copies_nothing_changes():
    ids = np.arange(101)
    np.testing.assert_array_equal(draw_half_sets(ids, 5, ids[::-1].copy()), draw_half_sets(ids, 5))


def test_an_image_in_both_halves_is_named():
    with pytest.raises(InputError, match=r"image 3 of .*p.mrcs is in both"):
        half_sets(table("p.mrcs:1", "p.mrcs:2", "p.mrcs:2", subset=[1, 1, 2]), 0)
    assert not half_sets(table("p.mrcs:1", "p.mrcs:2", "p.mrcs:2", subset=[1, 2, 2]), 0)[1]
    with pytest.raises(InputError, match="All 2 particles are image 2 of p.mrcs"):
        half_sets(table("p.mrcs:1", "p.mrcs:1"), 0)
