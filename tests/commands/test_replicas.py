"""A training shared out among replicas is that of one: the losses of all steps, and the end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.fourier.resampling import resample_volume
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.models.pose_model import PoseModel

REPOSITORY = Path(__file__).resolve().parents[2]
BOX, PIXEL = 32, 7.5


@pytest.fixture(scope="module")
def volume(tmp_path_factory, asymmetric_volume):
    path = tmp_path_factory.mktemp("replicas") / "map.mrc"
    write_volume(path, resample_volume(asymmetric_volume.data, 5.0, BOX, PIXEL), PIXEL)
    return path


def start(volume, losses, out, *options, devices=1, steps=60, **environment):
    """The program, training in a process of its own."""
    words = [sys.executable, "-m", "tests.replicas", losses, devices, "train", "--volume", volume]
    words += ["--snr", 1, "--batch-size", 16, "--steps", steps, "--validation-number", 20]
    words += ["--checkpoint-minutes", 0.01, "--output", out, *options]
    return subprocess.Popen(
        [str(word) for word in words],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def done(*processes):
    for process in processes:
        _, messages = process.communicate(timeout=250)
        assert process.returncode == 0, messages


def workers(volume, folder, name, **options):
    """Two processes that train together."""
    with socket.socket() as one, socket.socket() as two:
        for free in (one, two):
            free.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{free.getsockname()[1]}" for free in (one, two)]
    return [
        start(
            volume,
            folder / f"{name}{place}.txt",
            folder / name,
            "--distribute",
            "workers",
            TF_CONFIG=json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": place}}
            ),
            **options,
        )
        for place in (0, 1)
    ]


def losses(path):
    return np.loadtxt(path, ndmin=2)[:, 1]


def weights(run):
    return PoseModel.load(run / "model").network.get_weights()


@pytest.mark.slow
def test_two_devices_train_like_one(volume, tmp_path):
    one = start(volume, tmp_path / "one.txt", tmp_path / "one", steps=6)
    two = start(
        volume, tmp_path / "two.txt", tmp_path / "two", "--distribute", "gpus", devices=2, steps=6
    )
    done(one, two)
    np.testing.assert_allclose(
        losses(tmp_path / "two.txt"), losses(tmp_path / "one.txt"), rtol=0.01
    )


def test_gpus_that_are_missing_are_one_sentence(volume, tmp_path, caplog):
    options = ["--volume", str(volume), "--snr", "1", "--distribute", "gpus"]
    assert main(["train", *options, "--output", str(tmp_path / "out")]) == 2
    assert "the program sees 0 GPUs; leave it out" in caplog.text


def test_a_batch_that_cannot_be_shared_is_one_sentence(volume, tmp_path):
    options = ["--distribute", "gpus", "--batch-size", "15"]
    process = start(volume, tmp_path / "l.txt", tmp_path / "out", *options, devices=2)
    _, messages = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "give 14 or another multiple of 2." in messages


@pytest.mark.slow
def test_two_processes_train_like_one(volume, tmp_path):
    done(start(volume, tmp_path / "one.txt", tmp_path / "one"))
    done(*workers(volume, tmp_path, "two"))
    both = [losses(tmp_path / f"two{place}.txt") for place in (0, 1)]
    np.testing.assert_array_equal(both[0], both[1])
    np.testing.assert_allclose(both[0], losses(tmp_path / "one.txt"), rtol=0.005)


@pytest.mark.slow
def test_processes_go_on_from_the_checkpoint_where_one_was_killed(volume, tmp_path):
    done(*workers(volume, tmp_path, "whole"))
    chief, follower = workers(volume, tmp_path, "cut")
    checkpoint = tmp_path / "cut/checkpoint.npz"
    while not (checkpoint.exists() and len(losses(tmp_path / "cut0.txt")) > 20):
        assert chief.poll() is None
        time.sleep(0.1)
    follower.send_signal(signal.SIGKILL)
    _, messages = chief.communicate(timeout=250)
    follower.communicate()
    assert chief.returncode == 2
    assert "Another process of the training has ended" in messages

    (tmp_path / "cut0.txt").unlink()
    done(*workers(volume, tmp_path, "cut"))
    assert np.loadtxt(tmp_path / "cut0.txt")[0, 0] > 0
    for resumed, whole in zip(weights(tmp_path / "cut"), weights(tmp_path / "whole")):
        np.testing.assert_array_equal(resumed, whole)
