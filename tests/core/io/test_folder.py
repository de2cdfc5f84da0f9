"""Files that are whole or absent, whatever lies in their place before: links, pipes, folders,
leftovers.
"""

import os

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError, ResourceError
from cryoposes_plugin.core.io.folder import atomic_path
from cryoposes_plugin.core.io.mrc import StackWriter, read_stack, write_volume

IMAGES = np.arange(2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8)


def plant_link(place, target):
    place.symlink_to(target)


def plant_folder_link(place, target):
    place.symlink_to(target.parent)


def plant_second_name(place, target):
    os.link(target, place)


def plant_pipe(place, target):
    os.mkfifo(place)


def plant_folder(place, target):
    (place / "deep").mkdir(parents=True)
    (place / "deep" / "link").symlink_to(target)


PLANTS = [plant_link, plant_folder_link, plant_second_name, plant_pipe, plant_folder]


@pytest.fixture
def outside(tmp_path):
    """A file that nobody may touch."""
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "precious"
    path.write_bytes(b"x" * (1024 + IMAGES.nbytes))
    return path


@pytest.fixture(params=PLANTS)
def planted(request, tmp_path, outside):
    """Where to write: under the name and under the temporary name something lies already."""
    (tmp_path / "run").mkdir()
    target = tmp_path / "run" / "result"
    request.param(target, outside)
    request.param(target.with_name("result.part"), outside)
    return target


def write_file(target):
    with atomic_path(target) as part:
        part.write_bytes(b"new")


def write_folder(target):
    with atomic_path(target) as part:
        part.mkdir()
        (part / "inner").write_bytes(b"new")


def write_stack_in_order(target):
    writer = StackWriter(target, 2, 8, 5.0)
    writer.append(IMAGES)
    writer.finish()


@pytest.mark.parametrize("write", [write_file, write_folder, write_stack_in_order])
def test_what_lies_in_the_place_is_replaced_and_never_followed(planted, outside, write):
    before = outside.read_bytes()
    write(planted)
    assert outside.read_bytes() == before
    assert [path.name for path in outside.parent.iterdir()] == ["precious"]
    assert not planted.is_symlink()
    assert not os.path.lexists(planted.with_name("result.part"))


@pytest.mark.parametrize("plant", [plant_link, plant_second_name, plant_pipe])
def test_a_stack_is_not_resumed_in_what_was_planted(tmp_path, outside, plant):
    before = outside.read_bytes()
    plant(tmp_path / "stack.part", outside)
    with pytest.raises(InputError, match="not the stack that was begun"):
        StackWriter(tmp_path / "stack", 2, 8, 5.0, resume_at=1)
    assert outside.read_bytes() == before


def test_a_stack_is_resumed_where_it_stood(tmp_path):
    first = StackWriter(tmp_path / "stack", 2, 8, 5.0)
    first.append(IMAGES[:1])
    first.flush()
    first.close()
    second = StackWriter(tmp_path / "stack", 2, 8, 5.0, resume_at=1)
    second.append(IMAGES[1:])
    second.finish()
    np.testing.assert_array_equal(read_stack(tmp_path / "stack"), IMAGES)


def test_a_library_writes_into_a_folder_that_nobody_else_can_reach(tmp_path):
    with atomic_path(tmp_path / "map.mrc") as part:
        assert part.name == "map.mrc"
        assert part.parent.stat().st_mode & 0o777 == 0o700
        part.write_bytes(b"")
    write_volume(tmp_path / "map.mrc", np.ones((4, 4, 4), np.float32), 2.0)
    assert [path.name for path in tmp_path.iterdir()] == ["map.mrc"]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(ResourceError, match="gone/file cannot be written"):
        write_file(tmp_path / "gone" / "file")
    with pytest.raises(ResourceError, match="cannot be written .File name too long."):
        write_file(tmp_path / ("x" * 300))
