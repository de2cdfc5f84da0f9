"""Replicas of a small network on two logical CPUs learn like one network on the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[3]


def test_pairs_and_batch_statistics_are_those_of_the_whole_batch():
    """In a process of its own, as devices are made before TensorFlow starts."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.small_replicas"],
        cwd=REPOSITORY,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 0, result.stderr
    one, two = np.loadtxt(result.stdout.splitlines())
    assert one.max() > 1.5 * one.min()
    np.testing.assert_allclose(two, one, rtol=1e-5)
