"""Runs that are killed while they write go on and end with the same files: a few moments here, all
with `slow`.
"""

import re
import subprocess
import sys

import pytest

from tests import kills

pytest.importorskip("tensorflow")


def kill(number, *commands):
    words = [
        sys.executable,
        "-m",
        "tests.kills",
        "--kills",
        str(number),
        "--seed",
        "3",
        "--commands",
        *commands,
    ]
    return subprocess.run(words, capture_output=True, text=True, timeout=1800)


def test_a_killed_run_goes_on_to_the_same_result():
    result = kill(4, "simulate", "filter")
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(re.findall(r" of +\d+ .*same\n", result.stdout)) >= 3
    assert len(re.findall(r"links +same\n", result.stdout)) == 2


@pytest.mark.slow
def test_killed_runs_of_all_commands_go_on_to_the_same_result():
    result = kill(60, *kills.COMMANDS)
    assert result.returncode == 0, result.stdout + result.stderr
