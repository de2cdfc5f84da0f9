"""Which file a stack name means: the STAR's folder, the working directory, RELION's project; never
a guess.
"""

import os

import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.io.image_paths import resolve_stacks, written_name


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Make files of different content below a folder that is worked in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def files(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    return files


def found(star, name, tmp_path, images_from=None):
    (path,) = resolve_stacks(tmp_path / star, [name], images_from)
    return os.path.relpath(path, tmp_path)


@pytest.mark.parametrize(
    "files, star, name, expected",
    [
        (["s/A/p.mrcs"], "s/p.star", "A/p.mrcs", "s/A/p.mrcs"),
        (["here/A/p.mrcs"], "here/job/p.star", "A/p.mrcs", "here/A/p.mrcs"),
        (["here/A/p.mrcs"], "s/p.star", "A/p.mrcs", "here/A/p.mrcs"),
        (
            ["proj/Extract/p.mrcs"],
            "proj/Refine3D/job010/p.star",
            "Extract/p.mrcs",
            "proj/Extract/p.mrcs",
        ),
        (["s/A/p.mrcs", "s/p.mrcs"], "s/p.star", "A/p.mrcs", "s/A/p.mrcs"),
        (["proj/sim/p.mrcs"], "proj/sim/p.star", "sim/p.mrcs", "proj/sim/p.mrcs"),
        ([], "s/p.star", "A/p.mrcs", "here/A/p.mrcs"),
        (["s/b c/[1]@x/p.mrcs"], "s/p.star", "b c/[1]@x/p.mrcs", "s/b c/[1]@x/p.mrcs"),
    ],
)
def test_what_a_name_means(make, tmp_path, files, star, name, expected):
    make(*files)
    assert found(star, name, tmp_path) == expected


@pytest.mark.parametrize(
    "files, star, name, said",
    [
        (["s/A/p.mrcs", "here/A/p.mrcs"], "s/p.star", "A/p.mrcs", ["s/A/p.mrcs", "A/p.mrcs"]),
        (
            ["a/sim/p.mrcs", "here/sim/p.mrcs"],
            "a/sim/p.star",
            "sim/p.mrcs",
            ["a/sim/p.mrcs", "sim/p.mrcs"],
        ),
        (
            ["a/Extract/p.mrcs", "here/Extract/p.mrcs"],
            "a/Refine3D/p.star",
            "Extract/p.mrcs",
            ["a/Extract", "Extract"],
        ),
        (["s/p.mrcs", "here/A/p.mrcs"], "s/p.star", "A/p.mrcs", ["s/p.mrcs", "A/p.mrcs"]),
        (["s/p.mrcs"], "s/p.star", "A/p.mrcs", ["s/p.mrcs has only the same file name"]),
        (["s/p.mrcs"], "s/p.star", "/gone/p.mrcs", []),
    ],
)
def test_what_may_be_several_is_listed(make, tmp_path, files, star, name, said):
    make(*files)
    if not said:
        assert found(star, name, tmp_path) == os.path.relpath(name, tmp_path)
        return
    with pytest.raises(InputError, match="--images-from") as error:
        found(star, name, tmp_path)
    assert all(text in str(error.value) for text in said)


def test_a_file_of_no_folder_is_not_looked_for_above(make, tmp_path):
    make("proj/p.mrcs")
    assert found("proj/job/p.star", "p.mrcs", tmp_path) == "here/p.mrcs"


def test_images_from_decides(make, tmp_path):
    make("s/A/p.mrcs", "here/A/p.mrcs", "d/A/p.mrcs", "e/p.mrcs")
    assert found("s/p.star", "A/p.mrcs", tmp_path, str(tmp_path / "d")) == "d/A/p.mrcs"
    assert found("s/p.star", "A/p.mrcs", tmp_path, str(tmp_path / "e")) == "e/p.mrcs"
    assert found("s/p.star", "/gone/A/p.mrcs", tmp_path, str(tmp_path / "e")) == "e/p.mrcs"
    with pytest.raises(InputError, match="may be any of A/p.mrcs or B/p.mrcs"):
        resolve_stacks(tmp_path / "s/p.star", ["A/p.mrcs", "B/p.mrcs"], str(tmp_path / "e"))
    with pytest.raises(InputError, match="q.mrcs is not in"):
        found("s/p.star", "q.mrcs", tmp_path, str(tmp_path / "e"))
    with pytest.raises(InputError, match="is not a folder"):
        found("s/p.star", "q.mrcs", tmp_path, "nowhere")


def test_two_names_of_one_file_are_an_error_unless_they_are_one_path(make, tmp_path):
    make("s/real/p.mrcs")
    os.symlink("real", tmp_path / "s/link")
    names = ["real/p.mrcs", "./real/../real/p.mrcs", str(tmp_path / "s/real/p.mrcs")]
    assert len({os.path.abspath(p) for p in resolve_stacks(tmp_path / "s/p.star", names)}) == 1
    with pytest.raises(
        InputError, match=r"real/p.mrcs and link/p.mrcs are one file .*; give the stack one name"
    ):
        resolve_stacks(tmp_path / "s/p.star", ["real/p.mrcs", "link/p.mrcs"])


@pytest.mark.parametrize(
    "stack, star, others, expected",
    [
        ("here/Extract/p.mrcs", "here/run/p.star", [], "Extract/p.mrcs"),
        ("here/run/p.mrcs", "here/run/p.star", [], "run/p.mrcs"),
        ("here/p.mrcs", "here/p.star", [], "p.mrcs"),
        ("here/p.mrcs", "here/run/p.star", [], None),
        ("here/Extract/p.mrcs", "out/p.star", [], None),
        ("data/p.mrcs", "here/run/p.star", [], None),
        ("here/Extract/p.mrcs", "here/run/p.star", ["here/run/Extract/p.mrcs"], None),
    ],
)
def test_what_is_written_is_found_from_everywhere(
    make, tmp_path, monkeypatch, stack, star, others, expected
):
    make(stack, star, *others)
    name = written_name(tmp_path / stack, tmp_path / star)
    assert name == (expected or str(tmp_path / stack))
    assert found(star, name, tmp_path) == stack
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert found(star, name, tmp_path) == stack
