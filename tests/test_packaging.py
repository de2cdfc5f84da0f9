"""What a user installs: the sdist and the wheel made from it hold the whole package, once each."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import cryoposes_plugin
from cryoposes_plugin.commands.registry import CONFIGS
from cryoposes_plugin.constants import VERSION

REPOSITORY = Path(__file__).resolve().parents[1]
IN_CLONE = (REPOSITORY / "setup.py").exists()
needs_clone = pytest.mark.skipif(
    not IN_CLONE, reason="the tests run from an installed package, not from a clone"
)


def python_files(folder, prefix):
    """Paths, below `prefix`, of the Python files of a folder; links are not followed."""
    paths = (
        Path(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if name.endswith(".py")
    )
    return {f"{prefix}/{path.relative_to(folder).as_posix()}" for path in paths}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(names in the sdist, names in the wheel that is built from the sdist, path of the wheel)."""
    pytest.importorskip("build", reason="the program build (extra 'test') is not installed")
    folder = tmp_path_factory.mktemp("packaging")
    leave_out = shutil.ignore_patterns(
        ".*", "build", "dist", "*.egg-info", "__pycache__", "demo-output"
    )
    shutil.copytree(REPOSITORY, folder / "clone", symlinks=True, ignore=leave_out)
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--skip-dependency-check",
        "--outdir",
        folder / "dist",
    ]
    result = subprocess.run(
        [*command, folder / "clone"], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, (result.stdout + result.stderr)[-3000:]
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    with tarfile.open(sdist) as archive:
        in_sdist = [name.split("/", 1)[1] for name in archive.getnames() if "/" in name]
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = archive.namelist()
    return in_sdist, in_wheel, wheel


@needs_clone
def test_the_wheel_holds_every_module_once(built):
    _, in_wheel, wheel = built
    expected = python_files(REPOSITORY / "cryoposes_plugin", "cryoposes_plugin")
    for linked in ("protocols", "tests"):
        expected |= python_files(REPOSITORY / linked, f"cryoposes_plugin/{linked}")
    modules = [name for name in in_wheel if name.endswith(".py")]
    assert set(modules) == expected
    assert len(modules) == len(set(modules))
    assert wheel.name.startswith(f"scipion_em_cryoposes-{VERSION}-")


@needs_clone
@pytest.mark.parametrize("name", ["protocols.conf", "logo.png"])
def test_the_wheel_holds_what_scipion_looks_up_in_the_package_folder(built, name):
    assert f"cryoposes_plugin/{name}" in built[1]


@needs_clone
def test_the_wheel_announces_the_plugin_and_the_program(built):
    with zipfile.ZipFile(built[2]) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("entry_points.txt"))
        entry_points = archive.read(name).decode()
        metadata = archive.read(name.replace("entry_points.txt", "METADATA")).decode()
    assert re.search(
        r"\[pyworkflow\.plugin\]\s+cryoposes_plugin = cryoposes_plugin\b", entry_points
    )
    assert "cryoposes = cryoposes_plugin.cli.main:main" in entry_points
    assert re.search(r"^Requires-Dist: tensorflow.*python_version", metadata, re.M)
    assert not re.search(r"^Requires-Dist: tensorflow-cpu", metadata, re.M), (
        "two distributions of one package"
    )


@needs_clone
def test_the_sdist_holds_the_real_folders_and_no_link_to_them(built):
    in_sdist = built[0]
    assert {
        "setup.py",
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "tests/conftest.py",
    } <= set(in_sdist)
    assert any(name.startswith("protocols/protocol_") for name in in_sdist)
    assert not [
        name
        for name in in_sdist
        if name.startswith(("cryoposes_plugin/tests", "cryoposes_plugin/protocols/"))
    ]


def test_the_version_is_stated_alike_everywhere():
    assert cryoposes_plugin.__version__ == VERSION
    if IN_CLONE:
        first = re.search(
            r"^## \[([^\]]+)\]", (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8"), re.M
        )
        assert first.group(1) == VERSION


def test_the_program_runs_as_a_module_and_lists_every_command():
    command = [sys.executable, "-m", "cryoposes_plugin", "--help"]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(cryoposes_plugin.__file__).parents[1],
    )
    assert result.returncode == 0
    assert all(re.search(rf"^\s+{name}\b", result.stdout, re.M) for name in CONFIGS)


@needs_clone
def test_every_command_and_protocol_is_in_the_readme():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for name in CONFIGS:
        assert f"cryoposes {name}" in readme
