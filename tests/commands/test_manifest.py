"""What a run records of its input files, and how it notices that they changed."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from cryoposes_plugin.commands import manifest
from cryoposes_plugin.commands.reconstruct.config import ReconstructConfig
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.commands.run_directory import RunDirectory
from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.particle_files import write_particles
from tests.particle_sets import make_particles


@pytest.fixture
def images(tmp_path, monkeypatch):
    """particles.star over two stacks, in the working directory; reopen(digest) opens the run in
    `run` of them.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("a.mrcs", "b.mrcs"):
        write_stack(name, np.ones((3, 32, 32), np.float32), 5.0)
    table = make_particles(Path("a.mrcs"), 6)
    two = dict(stack_paths=(Path("a.mrcs"), Path("b.mrcs")), stack_index=np.repeat([0, 1], 3))
    write_particles("particles.star", table.replace(slice_index=np.tile(np.arange(3), 2), **two))

    def reopen(digest=False):
        return RunDirectory.open(
            "run", ReconstructConfig(particles="particles.star", digest_images=digest)
        )

    return reopen


def test_the_manifest_knows_size_and_time_of_every_stack(images, tmp_path):
    images()
    recorded = json.loads(Path("run/manifest.json").read_text())["images"]
    assert list(recorded) == [str(tmp_path / "a.mrcs"), str(tmp_path / "b.mrcs")]
    stamp = recorded[str(tmp_path / "b.mrcs")]
    assert stamp["bytes"] == Path("b.mrcs").stat().st_size
    assert stamp["modified_ns"] == Path("b.mrcs").stat().st_mtime_ns


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_whose_images_changed_says_so(images, finished):
    run = images()
    if finished:
        run.finish({})
    assert images().finished is finished
    write_stack("b.mrcs", np.zeros((3, 32, 32), np.float32), 5.0)
    with pytest.raises(
        ConfigError,
        match=r"Image stack .*b.mrcs has changed .its contents differ. since the run in run began",
    ):
        images()
    Path("b.mrcs").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"b.mrcs has changed \(from 13312 to 0 bytes\)"):
        images()


@pytest.mark.parametrize("finished", [False, True])
def test_a_stack_that_was_touched_is_the_same(images, finished):
    run = images()
    if finished:
        run.finish({})
    os.utime("a.mrcs", (1, 1))
    assert images().finished is finished


def test_one_byte_of_a_stack_counts(images):
    images()
    content = bytearray(Path("b.mrcs").read_bytes())
    content[5000] ^= 1
    Path("b.mrcs").write_bytes(content)
    with pytest.raises(ConfigError, match="b.mrcs has changed .its contents differ"):
        images()


def test_of_stacks_too_large_to_be_read_twice_the_time_counts(images, monkeypatch):
    monkeypatch.setattr(manifest, "DIGEST_STACKS_BYTES", Path("a.mrcs").stat().st_size)
    images()
    os.utime("a.mrcs", (1, 1))
    assert images().resumed
    os.utime("b.mrcs", (1, 1))
    with pytest.raises(
        ConfigError,
        match=r"b.mrcs was rewritten or touched \(--digest-images distinguishes the two\)",
    ):
        images()


def test_a_run_does_not_finish_on_images_that_changed_under_it(images):
    run = images()
    write_stack("a.mrcs", np.zeros((3, 32, 32), np.float32), 5.0)
    with pytest.raises(ConfigError, match="a.mrcs has changed"):
        run.finish({})
    assert not run.finished


def test_where_contents_are_recorded_a_copy_is_the_same_and_others_are_not(images):
    images(digest=True)
    os.utime("a.mrcs", (1, 1))
    assert images().resumed
    write_stack("a.mrcs", np.zeros((3, 32, 32), np.float32), 5.0)
    with pytest.raises(ConfigError, match="its contents differ"):
        images()


def test_a_run_goes_on_with_other_batches_and_threads(images, caplog):
    images()
    other = ReconstructConfig(particles="particles.star", batch_size=7, threads=1)
    with caplog.at_level("INFO"):
        assert RunDirectory.open("run", other).resumed
    assert "batch_size is now 7, but it was" in caplog.text
    assert "threads is now 1, but it was 0" in caplog.text


def test_ten_thousand_stacks_are_looked_at_in_a_moment(tmp_path, monkeypatch):
    names = [str(tmp_path / f"{number}.mrcs") for number in range(10000)]
    for name in names:
        Path(name).touch()
    monkeypatch.setattr(manifest, "stack_paths", lambda *_: names)
    monkeypatch.setattr(manifest, "input_digests", lambda _: {})
    config = ReconstructConfig(particles="particles.star")
    began = time.monotonic()
    manifest.check_unchanged(
        json.loads(json.dumps(manifest.make_manifest(config))), config, tmp_path, "run again"
    )
    assert time.monotonic() - began < 5


@pytest.fixture
def volume_named(tmp_path, monkeypatch):
    """reopen(volume) opens the run in `run` of particles that do not matter and a volume; a/map.mrc
    is there.
    """
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "map.mrc").write_bytes(folder.encode())
    write_particles(tmp_path / "p.star", make_particles(tmp_path / "p.mrcs", 4))
    monkeypatch.chdir(tmp_path)

    def reopen(volume):
        return RunDirectory.open(
            tmp_path / "run",
            RefineConfig(particles=str(tmp_path / "p.star"), volume=str(volume), seed=1),
        )

    return reopen


def test_one_file_under_another_name_is_the_same_run(volume_named, tmp_path, monkeypatch):
    volume_named("a/map.mrc")
    monkeypatch.chdir(tmp_path / "b")
    for name in (
        "../a/map.mrc",
        tmp_path / "a" / "map.mrc",
        tmp_path / "b" / ".." / "a" / "map.mrc",
    ):
        assert volume_named(name).resumed
    with pytest.raises(ConfigError, match="holds a run with volume = 'a/map.mrc', not"):
        volume_named("./map.mrc")


def test_a_file_that_changed_is_found_under_another_name(volume_named, tmp_path, monkeypatch):
    volume_named("a/map.mrc")
    (tmp_path / "a" / "map.mrc").write_bytes(b"other")
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(ConfigError, match="map.mrc has changed since the run in .*run began"):
        volume_named("../a/map.mrc")
