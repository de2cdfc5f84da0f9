"""Replicas of a small network on two logical CPUs learn like one network on the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


def losses(devices):
    """The losses of six steps, in a process of its own: devices are made before TensorFlow starts."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.small_replicas", str(devices)],
        cwd=REPOSITORY,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    return [float(word) for word in result.stdout.split()]


def test_pairs_and_batch_statistics_are_those_of_the_whole_batch():
    one, two = losses(1), losses(2)
    assert max(one) > 1.5 * min(one)
    assert two == pytest.approx(one, rel=1e-5)
