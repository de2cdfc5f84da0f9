"""The folder of a run as one transaction: taken in one step, finished in one step."""

import json
import os
import shutil
import threading
import time

import numpy as np
import pytest

from cryoposes_plugin.commands.filter.config import FilterConfig
from cryoposes_plugin.commands.run_directory import RunDirectory, alone_in
from cryoposes_plugin.core.errors import ConfigError, CryoposesError, ResourceError
from cryoposes_plugin.core.io import state_files as run_state

CONFIG = FilterConfig(particles="a.star", keep_quantile=0.5)


def test_a_folder_that_was_not_taken_yet_is_free(tmp_path):
    """What a run leaves that was stopped before its config.json was there, in this version or the
    one before.
    """
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
        ConfigError, match="its result accepted.star is missing.*metrics.json and run again"
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


def test_run_directory_resumes_the_same_run_only(tmp_path):
    config = FilterConfig(particles="a.star", keep_quantile=0.5)
    run = RunDirectory.open(tmp_path / "run", config)
    assert not run.resumed
    assert not run.finished
    again = RunDirectory.open(
        tmp_path / "run", FilterConfig(particles="a.star", keep_quantile=0.5, gpu="1")
    )
    assert again.resumed
    with pytest.raises(ConfigError, match=r"keep_quantile = 0.5, not 0.6"):
        RunDirectory.open(tmp_path / "run", FilterConfig(particles="a.star", keep_quantile=0.6))
    again.finish({"kept": np.int64(3)})
    assert RunDirectory.open(tmp_path / "run", config).finished
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == {"kept": 3}


def test_a_strangers_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds thesis.tex"):
        RunDirectory.open(tmp_path, FilterConfig(particles="a.star"))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_failed_write_leaves_nothing(tmp_path):
    run = RunDirectory.open(tmp_path / "run", FilterConfig(particles="a.star"))
    with pytest.raises(KeyError):
        with run.atomic("out.txt") as part:
            part.write_text("half")
            raise KeyError("interrupted")
    assert sorted(p.name for p in run.path.iterdir()) == ["config.json", "manifest.json"]


def test_a_run_does_not_go_on_with_other_inputs(tmp_path):
    particles = tmp_path / "a.star"
    particles.write_text("one")
    config = FilterConfig(particles=str(particles))
    RunDirectory.open(tmp_path / "run", config)
    assert RunDirectory.open(tmp_path / "run", config).resumed
    particles.write_text("two")
    with pytest.raises(ConfigError, match="a.star has changed since the run"):
        RunDirectory.open(tmp_path / "run", config)
