"""What the plugin costs beside the program itself: at Scipion's start, and around each run."""

import resource
import subprocess
import sys

import pytest

from .project import link, run_protocol

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

LOADING = """
import sys, time
start = time.process_time()
import pwem.protocols, pwem.viewers, pwem.wizards
before = time.process_time()
import cryoposes_plugin
cryoposes_plugin.Plugin
import cryoposes_plugin.protocols, cryoposes_plugin.objects
import cryoposes_plugin.viewers, cryoposes_plugin.wizards
sys.stdout.write(f"\\nSHARE {(time.process_time() - before) / (before - start)}")
"""


def test_loading_the_plugin_costs_a_quarter_of_what_scipion_costs_at_most():
    """CPU time, the least of three; in that of Scipion, since machines differ."""
    shares = []
    for _ in range(3):
        result = subprocess.run(
            [sys.executable, "-c", LOADING], capture_output=True, text=True, timeout=120
        )
        shares.append(float(result.stdout.rsplit("SHARE ", 1)[1]))
    assert min(shares) < 0.25


def test_a_protocol_adds_little_to_its_program(project, simulated, tmp_path):
    """CPU seconds of all processes: the wall clock tells of the machine's other work. The goal is 3
    s.
    """
    from cryoposes_plugin.protocols import ProtCryoposesCompare

    protocol = project.newProtocol(ProtCryoposesCompare)
    for name in ("inputTruth", "inputEstimate"):
        link(protocol, name, simulated, "outputParticles")
    before = seconds_of_children()
    run_protocol(project, protocol)
    whole = seconds_of_children() - before
    command = [
        sys.executable,
        "-m",
        "cryoposes_plugin",
        "compare",
        "--config",
        protocol._getExtraPath("config.json"),
    ]
    before = seconds_of_children()
    subprocess.run(
        [*command, "--output", str(tmp_path / "run")], check=True, capture_output=True, timeout=300
    )
    program = seconds_of_children() - before
    sys.stdout.write(f"protocol {whole:.2f} s, program {program:.2f} s\n")
    assert program < whole < program + 6


def seconds_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
