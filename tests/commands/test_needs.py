"""What is told of a run before it starts, and what it uses."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.needs import Cube, InputSize, Needs, needs_of, sentence
from cryoposes_plugin.commands.pace import _WORK, Pace
from cryoposes_plugin.commands.registry import CONFIGS, needs_module
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.needs import TENSOR_PROGRAM_BYTES

LONG = "simulate train infer refine reconstruct iterate initial-volume forecast recover".split()
SIZE = InputSize(1000, 64, 2.0, volumes=(Cube(64, 2.0),), network_box_px=64)
BOX = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A map, its images, and a map of these, each made by a process of its own."""
    path = tmp_path_factory.mktemp("needs")
    write_volume(path / "map.mrc", make_phantom(BOX, 2.0).data, 2.0)
    made = path / "sim" / "particles.star"
    for words in (
        ["simulate", "--volume", path / "map.mrc", "--number", 100, "--snr", 1, "--output", "sim"],
        ["reconstruct", "--particles", made, "--output", "map"],
        ["refine", "--particles", made, "--volume", path / "map.mrc", "--output", "refined"],
    ):
        command = [sys.executable, "-m", "cryoposes_plugin", *map(str, words)]
        done = subprocess.run(command, cwd=path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return path


def metrics(folder, name):
    return json.loads((folder / name / "metrics.json").read_text())


@pytest.mark.parametrize("name", ["sim", "map", "refined"])
def test_memory_is_used_as_told(folder, name):
    found = metrics(folder, name)
    told, used = found["needs"]["memory_bytes"], found["used"]["memory_bytes"]
    assert told == pytest.approx(used, rel=0.3)


@pytest.mark.parametrize("name", ["sim", "map"])
def test_disk_is_used_as_told(folder, name):
    found = metrics(folder, name)
    told, used = found["needs"]["disk_bytes"], found["used"]["disk_bytes"]
    assert told == pytest.approx(used, rel=0.3)


def test_times_are_kept_side_by_side(folder):
    found = metrics(folder, "sim")
    assert len(found["needs"]["seconds"]) == 2
    assert 0 < found["used"]["seconds"] < 600


def test_every_command_with_long_work_tells(caplog):
    assert {name for name in CONFIGS if needs_module(name) is not None} == set(LONG)


@pytest.mark.parametrize("name", LONG)
def test_more_particles_need_more(name):
    few, many = (
        needs_of(CONFIGS[name](**extra), size, Pace(2))
        for size, extra in (
            (SIZE, {"number": 1000} if name == "simulate" else {}),
            (
                InputSize(10**6, 64, 2.0, volumes=SIZE.volumes, network_box_px=64),
                {"number": 10**6} if name == "simulate" else {},
            ),
        )
    )
    assert many.memory_bytes > few.memory_bytes
    assert many.disk_bytes > few.disk_bytes
    assert many.seconds[1] >= few.seconds[1]


@pytest.mark.parametrize(
    "name, options",
    [
        ("simulate", {"number": 10**4}),
        ("refine", {"working_box_px": 512}),
        ("reconstruct", {}),
    ],
)
def test_large_boxes_fit_into_eight_gigabytes(name, options):
    size = InputSize(10**4, 512, 0.7, volumes=(Cube(512, 0.7),), padding=3.0)
    assert needs_of(CONFIGS[name](**options), size, Pace(2)).memory_bytes < 8e9


def test_a_larger_map_is_resampled_in_memory_that_is_told():
    """Two arrays of doubles, shortened along one axis, beside the map and that without its solvent."""
    few = InputSize(10, 64, 8.0, volumes=(Cube(512, 1.0),), padding=2.0)
    told = needs_of(CONFIGS["refine"](), few, Pace(1)).memory_bytes - TENSOR_PROGRAM_BYTES
    held = 2 * 4 * 512**3 + 2 * 8 * 64 * 512**2
    assert told == pytest.approx(held, rel=0.05)


def test_each_worker_needs_its_own_memory():
    config = CONFIGS["refine"](threads=2)
    whole, alone, shared = (
        needs_of(config, SIZE, Pace(threads), workers)
        for threads, workers in ((2, 1), (1, 1), (2, 2))
    )
    assert shared.memory_bytes == 3 * alone.memory_bytes
    assert shared.seconds == whole.seconds


def test_the_sentence(tmp_path):
    told = sentence(Needs(2.13e9, 3.2e9, (1512.0, 1512.0)), tmp_path, 2)
    assert re.fullmatch(
        r"This run needs about 2\.1 GB of memory \([\d.]+ [GM]B free\), 3\.2 GB of disk "
        r"\([\d.]+ [GM]B free\) and about 25 min on 2 threads\.",
        told,
    )


def test_a_range_says_that_the_images_decide(tmp_path):
    told = sentence(Needs(2e9, 3e9, (600.0, 3600.0)), tmp_path, 1)
    assert told.endswith("about 10 min to 1 h, depending on the images, on 1 thread.")


def test_too_little_disk_is_said_before_the_run(folder, tmp_path, caplog):
    words = ["simulate", "--volume", folder / "map.mrc", "--number", 10**7, "--output"]
    assert main(list(map(str, [*words, tmp_path / "out"]))) == 2
    assert re.search(
        rf"simulate: the run needs about \d+ GB of disk in {tmp_path}/out and [\d.]+ [GM]B are free; "
        "give another folder, or free some space",
        caplog.text,
    )
    assert not (tmp_path / "out").exists()


def test_it_is_told_without_a_run(folder, capsys):
    assert main(["needs", str(folder / "sim" / "config.json"), "--output", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("This run needs about ")


def test_a_command_without_long_work_tells_nothing(folder, tmp_path, caplog):
    path = tmp_path / "config.json"
    path.write_text(CONFIGS["filter"]().to_json())
    assert main(["needs", str(path)]) == 2
    assert "is not the config of a command with long work" in caplog.text


@pytest.mark.parametrize("stage", sorted(_WORK))
def test_a_stage_is_measured_once(stage):
    pace = Pace(1).measured()
    seconds = pace.seconds(stage, 32)
    assert 1e-6 < seconds < 1
    assert pace.seconds(stage, 32) == seconds
    assert np.isfinite(pace.voxel_seconds())
