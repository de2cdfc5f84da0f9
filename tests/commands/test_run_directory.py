"""The folder of a run as one transaction: taken in one step, finished in one step."""

import json
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cryoposes_plugin.commands import manifest
from cryoposes_plugin.commands.filter.config import FilterConfig
from cryoposes_plugin.commands.reconstruct.config import ReconstructConfig
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.commands.run_directory import RunDirectory, alone_in
from cryoposes_plugin.core.errors import ConfigError, CryoposesError, InputError, ResourceError
from cryoposes_plugin.core.io import state_files as run_state
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.star import write_particles
from tests.particle_sets import make_particles

CONFIG = FilterConfig(particles="a.star", keep_quantile=0.5)


def test_a_folder_that_was_not_taken_yet_is_free(tmp_path):
    """What a run leaves that was stopped before its config.json was there, in this version or the one before."""
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "config.json.part").mkdir()
    (tmp_path / "config.json.part" / "config.json").write_text('{"comm')
    (tmp_path / "manifest.json.part").write_text("{")
    assert not RunDirectory.open(tmp_path, CONFIG).resumed
    assert json.loads((tmp_path / "manifest.json").read_text())["command"] == "filter"


def test_a_run_stopped_between_config_and_manifest_goes_on(tmp_path):
    RunDirectory.open(tmp_path, CONFIG)
    (tmp_path / "manifest.json").unlink()
    assert RunDirectory.open(tmp_path, CONFIG).resumed
    assert json.loads((tmp_path / "manifest.json").read_text())["config_digest"] == CONFIG.digest()


def test_a_manifest_that_was_lost_later_is_not_made_up(tmp_path):
    RunDirectory.open(tmp_path, CONFIG)
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "accepted.star").write_text("")
    with pytest.raises(ConfigError, match="manifest.json is missing"):
        RunDirectory.open(tmp_path, CONFIG)


def test_the_state_goes_when_the_run_is_finished_and_not_before(tmp_path):
    run = RunDirectory.open(tmp_path, CONFIG)
    part = run.inside("round_01").inside("half1")
    for folder, name in (
        (run, run_state.SIMULATION),
        (run, "start_12.npz"),
        (part, run_state.REFINEMENT),
    ):
        folder.file(name).write_text("state")
    run.file("accepted.star.part").mkdir()
    run.file("covariance.npz").write_text("a result")
    assert RunDirectory.open(tmp_path, CONFIG).file(run_state.SIMULATION).exists()
    run.write_json("metrics.json", {})  # and killed before the state was removed
    assert RunDirectory.open(tmp_path, CONFIG).finished
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["config.json", "covariance.npz", "manifest.json", "metrics.json"]
    assert not (tmp_path / "accepted.star.part").exists()


def test_metrics_hold_no_number_that_json_does_not_know(tmp_path):
    run = RunDirectory.open(tmp_path, CONFIG)
    run.finish(
        {
            "a": float("nan"),
            "b": {"c": np.float32("inf")},
            "d": (np.int64(3), np.array([1.5, np.nan])),
        }
    )
    assert run.metrics() == {"a": None, "b": {"c": None}, "d": [3, [1.5, None]]}


DEEP = "[" * 100000
DAMAGE = [
    "",
    "{",
    "[]",
    "3",
    '"x"',
    "null",
    '{"a": NaN}',
    '{"a": 1, "a": 2}',
    DEEP,
    '{"a":' * 5000,
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("content", DAMAGE, ids=range(len(DAMAGE)))
@pytest.mark.parametrize("name", ["config.json", "manifest.json", "metrics.json"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, name, content):
    RunDirectory.open(tmp_path, CONFIG).finish({})
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CryoposesError, match=f"{name}.*delete") as caught:
        RunDirectory.open(tmp_path, CONFIG).metrics()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "metrics.json"])
@pytest.mark.parametrize("what", ["folder", "pipe", "loop"])
def test_something_else_in_the_place_of_a_file_is_named(tmp_path, name, what):
    RunDirectory.open(tmp_path, CONFIG).finish({})
    path = tmp_path / name
    path.unlink()
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path)}[
        what
    ]()
    with pytest.raises(CryoposesError, match=name):
        RunDirectory.open(tmp_path, CONFIG).metrics()


@pytest.mark.parametrize(
    "values",
    [
        {"inputs": 3},
        {"inputs": None},
        {"images": [], "inputs": {}},
        {"images": "x", "inputs": {}},
        {},
    ],
)
def test_a_manifest_of_another_form_is_one_sentence(tmp_path, values):
    RunDirectory.open(tmp_path, CONFIG)
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match="manifest.json"):
        RunDirectory.open(tmp_path, CONFIG)


@pytest.mark.parametrize(
    "name, value", [("keep_quantile", "half"), ("keep_quantile", {}), ("seed", 1e400), ("new", 1)]
)
def test_a_config_of_another_form_is_one_sentence(tmp_path, name, value):
    RunDirectory.open(tmp_path, CONFIG)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**values, name: value}))
    with pytest.raises(CryoposesError, match="config|another run"):
        RunDirectory.open(tmp_path, CONFIG)


# ---- state ---------------------------------------------------------------------------------------------------------

LIKE = {"rows_done": np.array(0), "rotations": np.zeros((4, 3, 3))}


def test_arrays_are_read_as_they_were_written(tmp_path):
    arrays = {"rows_done": np.array(2), "rotations": np.arange(36.0).reshape(4, 3, 3)}
    run_state.write_arrays(tmp_path / "s.npz", arrays)
    found = run_state.read_arrays(tmp_path / "s.npz", LIKE)
    np.testing.assert_array_equal(found["rotations"], arrays["rotations"])
    assert run_state.rows_done("s.npz", found, 4) == 2
    with pytest.raises(InputError, match="rows_done is 2 and must be at most 1"):
        run_state.rows_done("s.npz", found, 1)


def test_damaged_arrays_are_one_sentence(tmp_path):
    path = tmp_path / "s.npz"
    run_state.write_arrays(path, {**LIKE, "rows_done": np.array(2)})
    whole = path.read_bytes()
    rng = np.random.default_rng(11)
    told = 0
    for _ in range(200):
        spoiled = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 6)):
            spoiled[at] = rng.integers(0, 256)
        path.write_bytes(
            bytes(spoiled[: rng.integers(1, len(whole) + 1)])
            if rng.random() < 0.5
            else bytes(spoiled)
        )
        try:
            run_state.read_arrays(path, LIKE)
        except InputError as error:
            assert "s.npz is damaged" in str(error)
            assert "delete this file" in str(error)
            told += 1
    assert told > 100


@pytest.mark.parametrize(
    "wrong", [{"rotations": np.zeros((3, 3, 3))}, {"rotations": np.zeros((4, 3, 3), np.float32)}]
)
def test_arrays_of_another_run_are_one_sentence(tmp_path, wrong):
    run_state.write_arrays(tmp_path / "s.npz", {**LIKE, **wrong})
    with pytest.raises(InputError, match="its part rotations is not as it was written"):
        run_state.read_arrays(tmp_path / "s.npz", LIKE)


# ---- images --------------------------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path, monkeypatch):
    """particles.star over two stacks, in the working directory; reopen(digest) opens the run in `run` of them."""
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
        match=r"Image stack .*b.mrcs has changed .its contents are others. since the run in run began",
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
    with pytest.raises(ConfigError, match="b.mrcs has changed .its contents are others"):
        images()


def test_of_stacks_too_large_to_be_read_twice_the_time_counts(images, monkeypatch):
    monkeypatch.setattr(manifest, "_DIGEST_STACKS_BYTES", Path("a.mrcs").stat().st_size)
    images()
    os.utime("a.mrcs", (1, 1))
    assert images().resumed
    os.utime("b.mrcs", (1, 1))
    with pytest.raises(
        ConfigError, match=r"b.mrcs was written or touched \(--digest-images tells the two apart\)"
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
    with pytest.raises(ConfigError, match="its contents are others"):
        images()


def test_a_run_goes_on_with_other_batches_and_threads(images, caplog):
    images()
    other = ReconstructConfig(particles="particles.star", batch_size=7, threads=1)
    with caplog.at_level("INFO"):
        assert RunDirectory.open("run", other).resumed
    assert "batch_size is 7 now and was" in caplog.text
    assert "threads is 1 now and was 0" in caplog.text


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


# ---- names of files -------------------------------------------------------------------------------------------------


@pytest.fixture
def volume_named(tmp_path, monkeypatch):
    """reopen(volume) opens the run in `run` of particles that do not matter and a volume; a/map.mrc is there."""
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


# ---- results ---------------------------------------------------------------------------------------------------------


def test_a_finished_run_without_one_of_its_results_says_which(tmp_path):
    run = RunDirectory.open(tmp_path, CONFIG)
    for name in (
        "accepted.star",
        "covariance.npz",
        "report.html",
        "scores.png",
        run_state.REFINEMENT,
    ):
        run.file(name).write_text("x")
    run.finish({})
    for name in ("report.html", "scores.png"):
        (tmp_path / name).unlink()
    assert RunDirectory.open(tmp_path, CONFIG).finished
    (tmp_path / "accepted.star").unlink()
    with pytest.raises(
        ConfigError, match="of its results accepted.star is missing.*metrics.json and run again"
    ):
        RunDirectory.open(tmp_path, CONFIG)
    (tmp_path / "metrics.json").unlink()
    assert not RunDirectory.open(tmp_path, CONFIG).finished


def test_a_damaged_manifest_is_named_with_its_folder(tmp_path):
    RunDirectory.open(tmp_path / "run", CONFIG)
    (tmp_path / "run" / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match="run/manifest.json is damaged .it has no inputs"):
        RunDirectory.open(tmp_path / "run", CONFIG)


@pytest.mark.parametrize("name", ["link", "link/inside"])
def test_a_link_to_nowhere_is_said_to_be_one(tmp_path, name):
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="link is a link to nowhere, which does not exist"):
        RunDirectory.open(tmp_path / name, CONFIG)
    assert os.listdir(tmp_path) == ["link"]


# ---- the folder that is written to -----------------------------------------------------------------------------------


def test_a_folder_that_was_replaced_is_not_written_to(tmp_path):
    run = RunDirectory.open(tmp_path / "run", CONFIG)
    (tmp_path / "run").rename(tmp_path / "away")
    with pytest.raises(ResourceError, match="removed or replaced"):
        run.write_json("x.json", {})
    RunDirectory.open(tmp_path / "run", CONFIG)
    for write in (
        lambda: run.finish({}),
        lambda: run.file("particles.star"),
        lambda: run.inside("half1"),
    ):
        with pytest.raises(ResourceError, match="removed or replaced"):
            write()
    assert sorted(os.listdir(tmp_path / "run")) == ["config.json", "manifest.json"]


def test_who_waits_for_a_folder_that_is_made_anew_waits_for_the_new_one(tmp_path):
    """Two that wait while the folder is deleted: afterwards only one works at a time."""
    folder, inside, most = tmp_path / "run", [], []

    def work():
        with alone_in(folder):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.05)
            inside.pop()

    with alone_in(folder):
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        shutil.rmtree(folder)
        folder.mkdir()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


def test_a_part_of_a_run_is_never_a_folder_behind_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    run = RunDirectory.open(tmp_path / "run", CONFIG)
    run.path.joinpath("round_01").symlink_to(tmp_path / "elsewhere")
    run.inside("round_01").write_json("x.json", {})
    assert not list((tmp_path / "elsewhere").iterdir())
    assert (run.path / "round_01" / "x.json").is_file()
