"""The doctor says what is there, what is broken and what to do; a probe that crashes does not take
it along.
"""

import json
import os
import subprocess
import sys

import pytest

from cryoposes_plugin.cli import doctor
from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.registry import CONFIGS


def finding(findings, name):
    return next(f for f in findings if f.name == name)


def test_here_the_main_job_can_run_and_the_versions_are_true(capsys):
    assert main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    state = {f["name"]: f for f in said["findings"]}
    assert said["main_job"]
    assert all(said["runs"][name] for name in CONFIGS)
    assert doctor.version_of("tensorflow").startswith(state["TensorFlow"]["says"].split(",")[0])
    assert f"numpy {doctor.version_of('numpy')}" in state["packages"]["says"]
    assert f"{len(os.sched_getaffinity(0))} cores" in state["machine"]["says"]


def test_a_broken_tensorflow_is_a_problem_with_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_TENSORFLOW_PROBE", "import os; os.kill(os.getpid(), 4)")
    monkeypatch.setattr(doctor, "_ASTRA_PROBE", "raise RuntimeError('no such library')")
    findings = doctor.examine()
    assert finding(findings, "TensorFlow").state == doctor.PROBLEM
    assert "signal 4" in finding(findings, "TensorFlow").says
    assert finding(findings, "TensorFlow").remedy
    assert "no such library" in finding(findings, "ASTRA").says
    assert finding(findings, "ASTRA").state == doctor.NOTE, "the main job needs no ASTRA"
    assert not doctor.main_job_runs(findings)
    runs = doctor.what_runs(findings)
    without = {"filter", "compare", "calibrate", "reconstruct"}
    assert {name for name in CONFIGS if runs[name]} == without
    assert "FAIL  TensorFlow" in doctor.as_text(findings)
    assert "cannot run" in doctor.as_text(findings)


def test_a_card_that_tensorflow_does_not_see(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA X1'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = doctor._gpu({"version": "2", "gpus": 0, "cuda": False})
    assert found.state == doctor.NOTE
    assert "NVIDIA X1, but TensorFlow does not find it" in found.says
    assert "and-cuda" in found.remedy
    assert doctor._gpu({"gpus": 2}).says == "TensorFlow uses 2 (NVIDIA X1)"


def test_a_missing_package_and_relion(monkeypatch, tmp_path):
    monkeypatch.setitem(doctor._NEEDED, "nosuch", "nosuch_module")
    assert doctor._packages().state == doctor.PROBLEM
    assert "pip install nosuch" in doctor._packages().remedy
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("RELION_HOME", str(tmp_path))
    assert doctor._relion().state == doctor.NOTE
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "relion_refine"
    program.write_text("#!/bin/sh\necho 'RELION version: 9.9'\n")
    program.chmod(0o755)
    assert doctor._relion().state == doctor.GOOD


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An environment of variables in which the protocols compute with an interpreter of their own:
    its path.
    """
    for name in ("CRYOPOSES_ENV_ACTIVATION", "CRYOPOSES_PYTHON", "CRYOPOSES_HOME", "EM_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCIPION_HOME", str(tmp_path))
    python = (
        tmp_path
        / "software/em"
        / f"cryoposes-{doctor.version_of('scipion-em-cryoposes')}"
        / "env/bin/python"
    )
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def test_the_environment_that_protocols_compute_in_is_examined(elsewhere, monkeypatch, capsys):
    assert doctor.compute_command() is None, "this interpreter has TensorFlow"
    find_spec = doctor.importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util,
        "find_spec",
        lambda name: None if name == "tensorflow" else find_spec(name),
    )
    assert doctor.compute_command() == str(elsewhere)
    assert main(["doctor", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    state = {f["name"]: f for f in said["findings"]}
    assert state["computing"]["says"] == f"by {elsewhere}"
    assert state["TensorFlow"]["state"] == doctor.GOOD
    assert all(said["runs"][name] for name in CONFIGS)
    assert said["runs"]["protocols in Scipion"]


def test_the_variables_name_the_environment(elsewhere, monkeypatch):
    monkeypatch.setenv("CRYOPOSES_PYTHON", sys.executable)
    assert doctor.compute_command() is None
    monkeypatch.setenv("CRYOPOSES_PYTHON", "/opt/tf/bin/python")
    assert doctor.compute_command() == "/opt/tf/bin/python"
    monkeypatch.setenv("CRYOPOSES_ENV_ACTIVATION", "module load tf; ")
    assert doctor.compute_command() == "module load tf && /opt/tf/bin/python"
    (found,) = doctor.examine_other(doctor.compute_command())
    assert found.state == doctor.PROBLEM
    assert "CRYOPOSES_ENV_ACTIVATION" in found.remedy
    assert "The main job cannot run" in doctor.as_text([found])


def test_the_exit_status_tells_a_script_and_no_output_folder_is_asked_for():
    code = (
        "import sys; from cryoposes_plugin.cli import doctor; doctor._TENSORFLOW_PROBE = 'raise "
        "SystemExit(1)';from cryoposes_plugin.cli.main import main; sys.exit(main(['doctor']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 2
    assert "The main job cannot run" in result.stdout


@pytest.mark.parametrize("option", ["--output", "--seed"])
def test_it_takes_no_option_of_a_run(option):
    assert main(["doctor", option, "1"]) == 2
