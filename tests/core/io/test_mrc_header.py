"""MRC files as other programs leave them: read rightly, or refused by name, before anything is
allocated.
"""

import bz2
import gzip
import os
import re
import struct

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.io.mrc import (
    Stack,
    StackWriter,
    read_stack,
    read_stack_header,
    read_volume,
    write_stack,
    write_volume,
)

PIXEL = 2.5


@pytest.fixture
def data(rng):
    return rng.normal(size=(8, 8, 8)).astype(np.float32)


@pytest.fixture
def volume(tmp_path, data):
    write_volume(tmp_path / "v.mrc", data, PIXEL)
    return tmp_path / "v.mrc"


@pytest.fixture
def stack(tmp_path, rng):
    write_stack(tmp_path / "s.mrcs", rng.normal(size=(5, 8, 8)), PIXEL)
    return tmp_path / "s.mrcs"


def patch(path, offset, *values, kind="<i"):
    """Write numbers into a header."""
    raw = bytearray(path.read_bytes())
    packed = b"".join(struct.pack(kind, v) for v in values)
    raw[offset : offset + len(packed)] = packed
    path.write_bytes(bytes(raw))
    return path


def big_endian(path):
    raw = path.read_bytes()
    words = bytearray(np.frombuffer(raw, "<u4").astype(">u4").tobytes())
    words[208:216] = b"MAP \x11\x11\x00\x00"
    path.write_bytes(bytes(words))
    return path


@pytest.mark.parametrize("axes", [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)])
def test_axes_in_any_order(volume, data, axes):
    # data[z, y, x]; the file's sections, rows, columns run along MAPS, MAPR, MAPC
    mapc, mapr, maps = axes
    stored = data.transpose([3 - maps, 3 - mapr, 3 - mapc])
    volume.write_bytes(volume.read_bytes()[:1024] + np.ascontiguousarray(stored).tobytes())
    patch(volume, 64, *axes)
    np.testing.assert_array_equal(read_volume(volume).data, data)


@pytest.mark.parametrize(
    "offset, values", [(28, (0, 0, 0)), (88, (401,)), (88, (0,)), (64, (0, 0, 0))]
)
def test_fields_that_programs_leave_unset_or_set_otherwise(volume, data, offset, values):
    found = read_volume(patch(volume, offset, *values))
    np.testing.assert_array_equal(found.data, data)
    assert found.pixel_size_angstrom == pytest.approx(PIXEL)


def test_big_endian_with_and_without_its_stamp(volume, stack, data):
    images = read_stack(stack)
    np.testing.assert_array_equal(read_volume(big_endian(volume)).data, data)
    np.testing.assert_array_equal(read_stack(patch(big_endian(stack), 212, 0)), images)


def test_extended_headers_are_skipped(volume, data):
    patch(volume, 92, 640)
    raw = volume.read_bytes()
    volume.write_bytes(raw[:1024] + b"\1" * 640 + raw[1024:])
    np.testing.assert_array_equal(read_volume(volume).data, data)


@pytest.mark.parametrize("mode, kind", [(0, "i1"), (1, "i2"), (6, "u2"), (12, "f2")])
def test_modes(tmp_path, mode, kind):
    values = np.arange(-60, 65).reshape(5, 5, 5) + (60 if kind == "u2" else 0)
    with mrcfile.new(tmp_path / "v.mrc") as mrc:
        mrc.set_data(values.astype(kind))
        mrc.voxel_size = PIXEL
    assert struct.unpack("<i", (tmp_path / "v.mrc").read_bytes()[12:16]) == (mode,)
    np.testing.assert_array_equal(read_volume(tmp_path / "v.mrc").data, values)
    np.testing.assert_array_equal(read_stack(tmp_path / "v.mrc"), values)


@pytest.mark.parametrize("how", ["IMOD", "range"])
def test_unsigned_bytes(tmp_path, how):
    values = np.arange(27, dtype=np.uint8).reshape(3, 3, 3) * 9
    with mrcfile.new(tmp_path / "v.mrc") as mrc:
        mrc.set_data(values.view(np.int8))
        mrc.voxel_size = PIXEL
    if how == "IMOD":
        patch(tmp_path / "v.mrc", 152, 1146047817, 0)
    else:
        patch(tmp_path / "v.mrc", 76, 0.0, 234.0, kind="<f")
    np.testing.assert_array_equal(read_volume(tmp_path / "v.mrc").data, values)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
def test_compressed(volume, stack, data, compress):
    volume.write_bytes(compress(volume.read_bytes()))
    np.testing.assert_array_equal(read_volume(volume).data, data)
    stack.write_bytes(compress(stack.read_bytes()))
    with pytest.raises(InputError, match="is compressed .*: unpack it"):
        read_stack_header(stack)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("keep", [0.01, 0.5, 0.999])
def test_compressed_and_cut(volume, compress, keep):
    whole = compress(volume.read_bytes())
    volume.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(InputError, match="cut short|damaged"):
        read_volume(volume)


def test_a_compressed_map_gives_no_more_than_its_header_says(volume, data):
    volume.write_bytes(gzip.compress(volume.read_bytes() + bytes(2**28)))
    np.testing.assert_array_equal(read_volume(volume).data, data)


@pytest.mark.parametrize(
    "start, name",
    [
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"PK\x03\x04", "zip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"II*\x00", "TIFF"),
        (b"\x93NUMPY", "NumPy"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"404 not found\n" * 200, "text"),
        (b"", "0 bytes"),
    ],
)
@pytest.mark.parametrize("read", [read_volume, read_stack_header])
def test_other_files_are_named(tmp_path, start, name, read):
    path = tmp_path / "x.mrc"
    path.write_bytes(start + (b"\0" * 4000 if name not in ("text", "0 bytes") else b""))
    with pytest.raises(InputError, match=name):
        read(path)


@pytest.mark.parametrize("read", [read_volume, read_stack_header])
def test_pipes_and_folders_do_not_hang(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.mrc")
    for path, what in (
        (tmp_path / "pipe.mrc", "a pipe"),
        (tmp_path, "a folder"),
        ("/dev/zero", "a device"),
    ):
        with pytest.raises(InputError, match=what):
            read(path)
    with pytest.raises(InputError, match="cannot be reached"):
        read(tmp_path / ("n" * 300))


@pytest.mark.parametrize(
    "offset, values, kind, sentence",
    [
        (12, (3,), "<i", "MRC mode 3 (complex numbers)"),
        (12, (77,), "<i", "MRC mode 77"),
        (64, (1, 1, 3), "<i", "axes 1, 1, 3"),
        (92, (-5,), "<i", "extended header of -5 bytes"),
        (92, (2**31 - 1,), "<i", "is truncated"),
        (0, (2**31 - 1,) * 3, "<i", "is truncated"),
        (0, (-8, 8, 8), "<i", "is -8 x 8 x 8 pixels"),
    ],
)
@pytest.mark.parametrize("read", [read_volume, read_stack_header])
def test_impossible_headers(volume, offset, values, kind, sentence, read):
    with pytest.raises(InputError, match=re.escape(sentence)):
        read(patch(volume, offset, *values, kind=kind))


@pytest.mark.parametrize(
    "offset, values, sentence",
    [
        (40, (np.nan,) * 3, "voxel size nan"),
        (40, (np.inf,) * 3, "voxel size inf"),
        (40, (8e-30,) * 3, "outside the range of 0.01 to 1000"),
        (40, (8e30,) * 3, "outside the range of 0.01 to 1000"),
        (52, (90.0, 90.0, 120.0), "90 x 90 x 120 degrees"),
        (1024, (1e38,), "single precision"),
        (1024, (np.inf,), "NaN or infinite"),
    ],
)
def test_impossible_numbers_of_maps(volume, offset, values, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_volume(patch(volume, offset, *values, kind="<f"))


def test_images_need_plain_axes(stack):
    with pytest.raises(InputError, match="axes 2, 1, 3"):
        read_stack_header(patch(stack, 64, 2, 1, 3))


def test_stacks_of_any_space_group(stack):
    images = read_stack(stack)
    for group, sections in ((401, 1), (1, 5), (401, 5), (0, 0)):
        patch(stack, 88, group)
        patch(stack, 36, sections)
        np.testing.assert_array_equal(read_stack(stack), images)


def test_a_stack_is_read_in_any_order_and_with_repeats(stack):
    images = read_stack(stack)
    order = [3, 4, 0, 0, 1, 2, 4]
    np.testing.assert_array_equal(Stack(stack).read(order), images[order])
    assert Stack(stack).read([]).shape == (0, 8, 8)


def test_a_stack_that_is_cut_while_it_is_read(stack):
    reader = Stack(stack)
    os.truncate(stack, 1024 + 3 * 8 * 8 * 4 - 1)
    np.testing.assert_array_equal(reader.read([1]).shape, (1, 8, 8))
    with pytest.raises(InputError, match="was truncated while it was read: image 3 of 5"):
        reader.read([0, 1, 2, 3])


def test_writers_refuse_what_is_not_finite(tmp_path, data):
    data[1, 2, 3] = np.nan
    for write in (write_volume, write_stack):
        with pytest.raises(InputError, match="would contain 1 NaN"):
            write(tmp_path / "x.mrc", data, PIXEL)
    writer = StackWriter(tmp_path / "y.mrcs", 8, 8, PIXEL)
    with pytest.raises(InputError, match="would contain 1 NaN"):
        writer.append(data)
    writer.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["y.mrcs.part"]
