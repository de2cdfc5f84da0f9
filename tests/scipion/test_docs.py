"""The examples of docs/scripting.md: the long one is run as it stands, the others name what exists."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scripting.md"


def blocks():
    if not PAGE.exists():
        pytest.skip("the documentation is not installed")
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


def test_the_long_example_runs(scipion_environment, map_file, tmp_path):
    from .project import TOUR_PIXEL

    script = tmp_path / "script.py"
    script.write_text(max(blocks(), key=len))
    # as the page says, from a shell that knows nothing of the environment
    command = [
        sys.executable,
        "-m",
        "cryoposes_plugin.scipion",
        "--folder",
        tmp_path / "data",
        "python",
    ]
    shell = {**os.environ, "PATH": "/usr/bin:/bin"}
    del shell["SCIPION_PYTHON"]
    result = subprocess.run(
        [*command, script, map_file, str(TOUR_PIXEL)],
        env=shell,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert result.returncode == 0, result.stdout[-1500:] + result.stderr[-1500:]
    assert "60 particles: median angular error 0.00°" in result.stdout
    lines = re.findall(r"particle (\d+): (\S+) degrees off", result.stdout)
    assert [int(identity) for identity, _ in lines] == [1, 2, 3]  # not one of them three times
    assert max(float(error) for _, error in lines) < 1e-2
    assert (tmp_path / "data/projects/scripted/project.sqlite").exists()


def test_what_the_page_names_exists():
    text = PAGE.read_text(encoding="utf-8") if blocks() else ""
    named = re.findall(r"`((?:core|commands|cli)\.[a-z_.]+)\.([A-Za-z_]+)\(", text)
    assert len(named) >= 8
    for module, name in named:
        assert hasattr(importlib.import_module(f"cryoposes_plugin.{module}"), name), (
            f"{module}.{name}"
        )
    for module, names in re.findall(r"from (cryoposes_plugin[\w.]*) import ([\w, ]+)", text):
        for name in names.split(", "):
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
