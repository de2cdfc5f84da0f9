"""`cryoposes doctor`: checks what is installed, what works with it, and how to complete it.

TensorFlow and ASTRA are tested in processes of their own, because a broken installation may crash
or hang. If the protocols compute in another environment, that one is examined.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, List, Optional

from ..commands.registry import CONFIGS
from ..core.parallel import number_of_cores

#: Commands that work without TensorFlow.
_WITHOUT_TENSORS = ("filter", "compare", "calibrate", "reconstruct")
GOOD, NOTE, PROBLEM = "good", "note", "problem"
_PROBE_SECONDS = 180
_LEAST_MEMORY_GIB = 4.0
_NEEDED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "mrcfile": "mrcfile",
    "gemmi": "gemmi",
    "matplotlib": "matplotlib",
}

_TENSORFLOW_PROBE = """
import json, os
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
for device in ["/CPU:0"] + [f"/GPU:{i}" for i in range(len(gpus))]:
    with tf.device(device):
        value = float(tf.reduce_sum(tf.matmul(tf.ones((64, 64)), tf.ones((64, 64)))))
    if value != 64.0**3:
        raise SystemExit(f"{device} computes {value} for a sum that is {64.0**3}")
cuda = tf.test.is_built_with_cuda()
print("FOUND " + json.dumps({"version": tf.__version__, "gpus": len(gpus), "cuda": cuda}))
"""
_NO_COMPUTING = (
    "Correct CRYOPOSES_ENV_ACTIVATION and CRYOPOSES_PYTHON, or remove them and run "
    "'scipion installb cryoposes'."
)
_ASTRA_PROBE = """
import json, astra
print("FOUND " + json.dumps({"version": astra.__version__, "cuda": bool(astra.use_cuda())}))
"""


@dataclass(frozen=True)
class Finding:
    """The result of one check: its state, what was found, and what to do if it is not good."""

    name: str
    state: str
    says: str
    remedy: str = ""


def examine() -> List[Finding]:
    """All findings; those that the main job needs come first."""
    tensorflow = probe(_TENSORFLOW_PROBE)
    return [
        _python(),
        _packages(),
        _tensorflow(tensorflow),
        _machine(),
        _gpu(tensorflow),
        _astra(probe(_ASTRA_PROBE)),
        _relion(),
        _scipion(),
    ]


def compute_command() -> Optional[str]:
    """Shell command of the interpreter in which the protocols compute; None if it is this one.

    It is given by `CRYOPOSES_ENV_ACTIVATION` and `CRYOPOSES_PYTHON`. Without them it is the one
    that `scipion installb cryoposes` has built, if this interpreter has no TensorFlow.
    """
    activation = os.environ.get("CRYOPOSES_ENV_ACTIVATION", "").strip().rstrip("&; ")
    chosen = os.path.expanduser(os.environ.get("CRYOPOSES_PYTHON", ""))
    if activation:
        return f"{activation} && {shlex.quote(chosen or 'python')}"
    if chosen:
        return None if chosen == sys.executable else shlex.quote(chosen)
    built = _built_python()
    return (
        shlex.quote(str(built))
        if built.exists() and importlib.util.find_spec("tensorflow") is None
        else None
    )


def _built_python() -> Path:
    packages = Path(os.environ.get("SCIPION_HOME", ""), os.environ.get("EM_ROOT", "software/em"))
    home = (
        os.environ.get("CRYOPOSES_HOME")
        or packages / f"cryoposes-{version_of('scipion-em-cryoposes')}"
    )
    return Path(home) / "env/bin/python"


def examine_other(command: str) -> List[Finding]:
    """The findings of another interpreter, and those of this one about Scipion."""
    hidden = ("CRYOPOSES_ENV_ACTIVATION", "CRYOPOSES_PYTHON", "CRYOPOSES_HOME", "SCIPION_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    package = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        # Only this package is linked, because the others beside it belong to this interpreter.
        os.symlink(package, Path(folder) / package.name)
        environment["PYTHONPATH"] = folder
        said = _shell(f"{command} -m {package.name} doctor --json", environment)
    if "error" in said:
        return [
            Finding(
                "computing",
                PROBLEM,
                f"{command} cannot run the program: {said['error']}",
                _NO_COMPUTING,
            )
        ]

    others = [Finding(**finding) for finding in said["findings"] if finding["name"] != "Scipion"]
    return [Finding("computing", GOOD, f"by {command}"), *others, _scipion()]


def _shell(command: str, environment: Dict[str, str]) -> Dict[str, Any]:
    """The JSON that a shell command prints, or {"error": its last error message}."""
    try:
        result = subprocess.run(
            ["/bin/bash", "-c", command],
            capture_output=True,
            text=True,
            timeout=2 * _PROBE_SECONDS,
            env=environment,
        )
        return json.loads(result.stdout[result.stdout.index("{") :])
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {2 * _PROBE_SECONDS} s"}
    except ValueError:
        complaint = [line for line in result.stderr.splitlines() if line.strip()]
        return {
            "error": complaint[-1].strip()
            if complaint
            else f"it ended with status {result.returncode}"
        }


def main_job_runs(findings: List[Finding]) -> bool:
    return all(finding.state != PROBLEM for finding in findings)


def what_runs(findings: List[Finding]) -> Dict[str, bool]:
    """Command or feature -> whether it works here."""
    state = {finding.name: finding.state for finding in findings}
    if "packages" not in state:
        return {}
    packages = state["packages"] == GOOD and state["Python"] != PROBLEM
    tensors = packages and state["TensorFlow"] == GOOD
    return {
        **{name: packages if name in _WITHOUT_TENSORS else tensors for name in CONFIGS},
        "train and infer on a GPU": tensors and state["GPU"] == GOOD,
        "simulate --projector astra, reconstruct --method cgls": packages
        and state["ASTRA"] == GOOD,
        "protocols in Scipion": packages and state["Scipion"] == GOOD,
    }


def as_text(findings: List[Finding]) -> str:
    mark = {GOOD: "ok  ", NOTE: "note", PROBLEM: "FAIL"}
    lines = [
        f"{mark[f.state]}  {f.name}: {f.says}" + (f"\n      -> {f.remedy}" if f.remedy else "")
        for f in findings
    ]
    lines += ["", "What works here:"]
    lines += [f"{'yes ' if runs else 'no  '}  {name}" for name, runs in what_runs(findings).items()]
    verdict = (
        "The main job can run here."
        if main_job_runs(findings)
        else "The main job cannot run here; correct what is marked FAIL above."
    )
    return "\n".join([*lines, "", verdict])


def as_json(findings: List[Finding]) -> str:
    values = {
        "findings": [asdict(finding) for finding in findings],
        "runs": what_runs(findings),
        "main_job": main_job_runs(findings),
    }
    return json.dumps(values, indent=2)


def probe(code: str) -> Dict[str, Any]:
    """The JSON that the code prints after FOUND, or {"error": its last error message}."""
    try:
        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {_PROBE_SECONDS} s"}

    found = [line for line in result.stdout.splitlines() if line.startswith("FOUND ")]
    if result.returncode == 0 and found:
        return json.loads(found[-1][len("FOUND ") :])
    if result.returncode < 0:
        return {"error": f"it was killed by signal {-result.returncode}"}

    complaint = [line for line in result.stderr.splitlines() if line.strip()]
    return {
        "error": complaint[-1].strip() if complaint else f"it ended with status {result.returncode}"
    }


def _python() -> Finding:
    version, text = sys.version_info[:2], f"{platform.python_version()} at {sys.executable}"
    if version < (3, 8):
        return Finding(
            "Python", PROBLEM, text, "Create an environment with Python 3.10, 3.11 or 3.12."
        )
    if not (3, 10) <= version <= (3, 12):
        return Finding(
            "Python",
            NOTE,
            text,
            "The program was tested with Python 3.10, 3.11 and 3.12.",
        )
    return Finding("Python", GOOD, text)


def _packages() -> Finding:
    missing = [name for name, module in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        return Finding(
            "packages",
            PROBLEM,
            f"missing: {', '.join(missing)}",
            f"Run pip install {' '.join(missing)}.",
        )
    return Finding("packages", GOOD, ", ".join(f"{name} {version_of(name)}" for name in _NEEDED))


def _tensorflow(found: Dict[str, Any]) -> Finding:
    if importlib.util.find_spec("tensorflow") is None:
        return Finding(
            "TensorFlow",
            PROBLEM,
            "not installed in this interpreter",
            "Run pip install 'tensorflow>=2.20,<2.22'. In Scipion, run 'scipion installb "
            "cryoposes', or set CRYOPOSES_ENV_ACTIVATION or CRYOPOSES_PYTHON to an environment "
            "with TensorFlow.",
        )
    if "error" in found:
        return Finding(
            "TensorFlow",
            PROBLEM,
            f"does not work: {found['error']}",
            "Install it again, in a new environment.",
        )

    return Finding(
        "TensorFlow",
        GOOD,
        f"{found['version']}, {'with' if found['cuda'] else 'without'} CUDA support",
    )


def _machine() -> Finding:
    cores, memory = number_of_cores(), memory_gib()
    says = f"{cores} cores" + ("" if memory is None else f", {memory:.1f} GiB of memory")
    if memory is not None and memory < _LEAST_MEMORY_GIB:
        return Finding(
            "machine",
            NOTE,
            says,
            "Training needs about 4 GiB; use small boxes and batches.",
        )
    return Finding("machine", GOOD, says)


def _gpu(tensorflow: Dict[str, Any]) -> Finding:
    cards, seen = nvidia_cards(), int(tensorflow.get("gpus", 0))
    if seen:
        return Finding(
            "GPU",
            GOOD,
            f"TensorFlow uses {seen}" + (f" ({', '.join(cards)})" if cards else ""),
        )
    if cards:
        return Finding(
            "GPU",
            NOTE,
            f"{', '.join(cards)}, but TensorFlow does not find it",
            "Run pip install 'tensorflow[and-cuda]' with the same version, and check "
            f"CUDA_VISIBLE_DEVICES (now {os.environ.get('CUDA_VISIBLE_DEVICES', 'unset')!r}).",
        )

    return Finding(
        "GPU", NOTE, "none; everything except the methods of ASTRA runs on the CPU, but slower"
    )


def _astra(found: Dict[str, Any]) -> Finding:
    if importlib.util.find_spec("astra") is None:
        return Finding(
            "ASTRA",
            NOTE,
            "not installed",
            "Only needed for its projector and for CGLS; the package is astra-toolbox.",
        )
    if "error" in found:
        return Finding(
            "ASTRA",
            NOTE,
            f"does not work: {found['error']}",
            "Run pip install --force-reinstall astra-toolbox.",
        )
    if not found["cuda"]:
        return Finding(
            "ASTRA",
            NOTE,
            f"{found['version']}, which finds no CUDA device",
            "The Fourier methods do not need one.",
        )

    return Finding("ASTRA", GOOD, f"{found['version']}, with CUDA")


def _relion() -> Finding:
    home = os.environ.get("RELION_HOME", "")
    path = shutil.which("relion_refine") or shutil.which(
        "relion_refine", path=os.path.join(home, "bin")
    )
    if path is None:
        return Finding(
            "RELION",
            NOTE,
            "neither on the PATH nor in RELION_HOME",
            "Only needed for the protocols of RELION.",
        )
    return Finding("RELION", GOOD, f"{path} {_relion_version(path)}".strip())


def _relion_version(path: str) -> str:
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next(
        (line.strip() for line in said.stdout.splitlines() if "version" in line.lower()), ""
    )


def _scipion() -> Finding:
    if importlib.util.find_spec("pwem") is None:
        return Finding(
            "Scipion",
            NOTE,
            "not installed in this interpreter",
            "The protocols need it; the commands do not.",
        )
    plugins = ("scipion-em-relion", "scipion-em-cryosparc2")
    there = [f"{name} {version_of(name)}" for name in ("scipion-em", *plugins) if version_of(name)]
    return Finding("Scipion", GOOD, ", ".join(there))


def version_of(distribution: str) -> str:
    """Version of an installed distribution; '' if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def memory_gib() -> Optional[float]:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return None


def nvidia_cards() -> List[str]:
    """Names of the NVIDIA GPUs; empty without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        said = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in said.stdout.splitlines() if line.strip()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="Print the findings as JSON.")


def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 if the main job can run, else 2."""
    elsewhere = compute_command()
    findings = examine() if elsewhere is None else examine_other(elsewhere)
    sys.stdout.write((as_json(findings) if arguments.json else as_text(findings)) + "\n")
    return 0 if main_job_runs(findings) else 2
