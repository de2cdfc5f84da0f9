"""MRC reading and writing, streaming particle images, and the folder of a run."""

import dataclasses
import re

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError, ResourceError
from cryoposes_plugin.core.fourier.resampling import resample_images
from cryoposes_plugin.core.io.mrc import (
    StackWriter,
    read_stack,
    read_stack_header,
    read_volume,
    write_stack,
    write_volume,
)
from cryoposes_plugin.core.particles.checks import check_fits_model
from cryoposes_plugin.core.particles.images import ParticleImages, ResampledImages

from ...mrc_files import write_stack_as_it_is
from .test_star import make_table


def test_volume_round_trip(tmp_path, asymmetric_volume):
    write_volume(tmp_path / "v.mrc", asymmetric_volume.data, 5.0)
    found = read_volume(tmp_path / "v.mrc")
    np.testing.assert_array_equal(found.data, asymmetric_volume.data)
    assert found.pixel_size_angstrom == pytest.approx(5.0)
    assert mrcfile.validate(tmp_path / "v.mrc")


def _spoiled(kind):
    data = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    if kind == "nan":
        data[0, 0, 0] = np.nan
    return {"flat": np.ones((8, 8, 8), np.float32), "oblong": data[:, :6]}.get(kind, data)


@pytest.mark.parametrize(
    "kind, sentence",
    [
        ("nan", "1 NaN or infinite"),
        ("flat", "is constant"),
        ("oblong", "8 x 6 x 8 voxels"),
        ("no size", "voxel size 0 x 0 x 0"),
    ],
)
def test_a_bad_volume_is_one_sentence(tmp_path, kind, sentence):
    with mrcfile.new(tmp_path / "v.mrc") as mrc:
        mrc.set_data(np.ascontiguousarray(_spoiled(kind)))
        mrc.voxel_size = 0.0 if kind == "no size" else 2.0
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_volume(tmp_path / "v.mrc")


def test_not_an_mrc_file(tmp_path):
    (tmp_path / "v.mrc").write_bytes(b"hello" * 1000)
    with pytest.raises(InputError, match="cannot be read as MRC"):
        read_volume(tmp_path / "v.mrc")


def test_stack_is_written_in_pieces_resumed_and_valid(tmp_path, rng):
    images = rng.normal(size=(7, 8, 8)).astype(np.float32)
    writer = StackWriter(tmp_path / "s.mrcs", 7, 8, 1.5)
    writer.append(images[:3])
    assert writer.flush() == 3
    writer.append(images[3:5])
    writer.close()
    assert not (tmp_path / "s.mrcs").exists()
    again = StackWriter(tmp_path / "s.mrcs", 7, 8, 1.5, resume_at=3)
    again.append(images[3:])
    again.finish()
    np.testing.assert_array_equal(read_stack(tmp_path / "s.mrcs"), images)
    assert mrcfile.validate(tmp_path / "s.mrcs")
    assert read_stack_header(tmp_path / "s.mrcs") == (7, 8, pytest.approx(1.5))


def test_no_room_is_one_sentence_and_leaves_nothing(tmp_path):
    with pytest.raises(ResourceError, match="cannot be allocated"):
        StackWriter(tmp_path / "s.mrcs", 10**9, 512, 1.5)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_stack_is_one_sentence(tmp_path, rng):
    write_stack(tmp_path / "s.mrcs", rng.normal(size=(7, 8, 8)), 2.0)
    whole = (tmp_path / "s.mrcs").read_bytes()
    (tmp_path / "s.mrcs").write_bytes(whole[:-100])
    with pytest.raises(InputError, match="is truncated"):
        read_stack_header(tmp_path / "s.mrcs")


def test_images_follow_their_references(tmp_path, rng):
    table = make_table(tmp_path, rng)
    images = ParticleImages(table)
    found = images.read([4, 0])
    np.testing.assert_array_equal(
        found, read_stack(table.stack_paths[0])[table.slice_index[[4, 0]]]
    )
    # A beam tilt would be corrected.
    untilted = tuple(dataclasses.replace(group, extra={}) for group in table.optics)
    half = ResampledImages(table.replace(optics=untilted), 4, 4.0)
    corners = np.hypot(*np.meshgrid(np.arange(8) - 4, np.arange(8) - 4)) > 4
    without_level = found - found[:, corners].mean(axis=1)[:, None, None]
    np.testing.assert_allclose(
        half.read([4, 0]), resample_images(without_level, 2.0, 4, 4.0), atol=1e-6
    )
    np.testing.assert_allclose(half.scale, 0.5)


def test_nan_names_the_particle(tmp_path, rng):
    table = make_table(tmp_path, rng)
    data = read_stack(table.stack_paths[0])
    data[table.slice_index[3], 2, 2] = np.nan
    write_stack_as_it_is(table.stack_paths[0], data, 2.0)
    with pytest.raises(InputError, match=f"particle {table.ids[3]} "):
        ParticleImages(table).read(np.arange(7))


def test_a_table_that_asks_for_too_much(tmp_path, rng):
    table = make_table(tmp_path, rng)
    with pytest.raises(InputError, match="Image 100 of stack"):
        ParticleImages(table.replace(slice_index=np.full(7, 99)))
    with pytest.raises(InputError, match="is empty"):
        ParticleImages(table.take([]))


def test_field_of_view_and_nyquist(tmp_path, rng):
    table = make_table(tmp_path, rng)
    check_fits_model(table, 2.0, 16.0)
    with pytest.raises(InputError, match=r"needs 1.5 Å/px or finer"):
        check_fits_model(table, 1.5, 10.0)
    with pytest.raises(InputError, match=r"16 Å wide and the model looks at 20 Å"):
        check_fits_model(table, 2.0, 20.0)


def test_more_stacks_than_may_be_open(tmp_path, rng):
    resource = pytest.importorskip("resource")
    table = make_table(tmp_path, rng)
    number = 300
    paths = []
    for i in range(number):
        paths.append(tmp_path / f"{i}.mrcs")
        write_stack(paths[-1], np.full((1, 8, 8), float(i)), 2.0)
    zeros = np.zeros(number, dtype=np.int64)
    many = table.take(zeros[:1]).replace(
        ids=np.arange(number) + 1,
        stack_paths=tuple(paths),
        stack_index=np.arange(number),
        slice_index=zeros,
        optics_index=zeros,
        rotations=None,
        shifts_px=None,
        ctf=None,
        random_subset=None,
        scores={},
        extra={},
    )
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        images = ParticleImages(many)
        found = np.concatenate([images.read([i]) for i in range(number)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    np.testing.assert_array_equal(found[:, 0, 0], np.arange(number))
