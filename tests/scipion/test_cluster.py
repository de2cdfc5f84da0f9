"""A cluster of stand-ins: sbatch, squeue and scancel are small scripts; everything else is as on a
real one.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from .project import TOUR_PIXEL, link, run_protocol, wait_for

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

HOSTS = """
[localhost]
PARALLEL_COMMAND = mpirun -np %_(JOB_NODES)d %_(COMMAND)s
NAME = SLURM
MANDATORY = False
SUBMIT_COMMAND = {folder}/sbatch %_(JOB_SCRIPT)s
CANCEL_COMMAND = {folder}/scancel %_(JOB_ID)s
CHECK_COMMAND = {folder}/squeue %_(JOB_ID)s
SUBMIT_TEMPLATE = #!/bin/bash
    ##SBATCH --job-name=%_(JOB_NAME)s
    ##SBATCH --partition=%_(JOB_QUEUE)s
    ##SBATCH --cpus-per-task=%_(JOB_THREADS)d
    ##SBATCH --gres=gpu:%_(GPU_COUNT)d
    ##SBATCH --time=%_(JOB_HOURS)s
    %_(JOB_COMMAND)s
QUEUES = {{"short": [["JOB_HOURS", "2:00:00", "Time", "", ""]]}}
"""
SBATCH = """#!{python}
import os, subprocess, sys
with open("{folder}/calls.log", "a") as log:
    log.write("sbatch " + open(sys.argv[1]).read().replace(chr(10), " ") + chr(10))
output = open(os.devnull, "w")
process = subprocess.Popen(["/bin/bash", sys.argv[1]], stdout=output, stderr=output, start_new_session=True)
sys.stdout.write(f"Submitted batch job {{process.pid}}\\n")
"""
SQUEUE = """#!/bin/sh
ps -o stat= -p "$1" | grep -v Z
exit 0
"""
SCANCEL = """#!/bin/bash
echo "scancel $1" >> {folder}/calls.log
kill -TERM -- "-$1"
"""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Its folder, with calls.log."""
    from pyworkflow import Config

    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scancel", SCANCEL)):
        path = tmp_path / name
        path.write_text(text.format(python=sys.executable, folder=tmp_path))
        path.chmod(0o755)
    hosts = tmp_path / "hosts.conf"
    hosts.write_text(HOSTS.format(folder=tmp_path))
    monkeypatch.setattr(Config, "SCIPION_HOSTS", str(hosts))
    monkeypatch.setenv("SCIPION_HOSTS", str(hosts))
    return tmp_path


@pytest.fixture
def queued(cluster, map_file, scipion_environment):
    """Makes a simulation that goes to the queue, in a project of its own whose hosts are the
    stand-ins.
    """
    from pwem.protocols import ProtImportVolumes
    from pyworkflow.project import Manager

    from cryoposes_plugin.protocols import ProtCryoposesSimulate

    before = os.getcwd()
    project = Manager().createProject(f"cluster_{os.getpid()}_{time.monotonic_ns()}")
    os.chdir(project.path)
    imported = project.newProtocol(
        ProtImportVolumes, filesPath=str(map_file), samplingRate=TOUR_PIXEL
    )
    run_protocol(project, imported)

    def make(steps="N", **values):
        protocol = project.newProtocol(
            ProtCryoposesSimulate, boxSizePx=32, snr=0.5, **{"numberOfThreads": 2, **values}
        )
        link(protocol, "inputVolumes", imported, "outputVolume")
        protocol._useQueue.set(True)
        parameters = {"JOB_HOURS": "2:00:00", "QUEUE_FOR_JOBS": steps}
        protocol._queueParams.set(json.dumps(["short", parameters]))
        return project, protocol

    yield make
    os.chdir(before)


def test_a_job_goes_through_the_queue_with_its_gpu_count_and_threads(queued, cluster):
    project, protocol = queued(number=20, gpuList="3,5")
    project.launchProtocol(protocol)
    seen = wait_for(project, protocol, lambda p: not p.isActive())
    assert seen.isFinished(), seen.getErrorMessage()
    assert seen.outputParticles.getSize() == 20
    script = (cluster / "calls.log").read_text()
    for line in ("--gres=gpu:2", "--cpus-per-task=2", "--partition=short", "--time=2:00:00"):
        assert line in script
    config = json.loads(Path(seen._getExtraPath("run", "config.json")).read_text())
    assert config["gpu"] == "0,1", "a queue grants GPUs of its own choice, counted from 0"
    assert config["threads"] == 2


def test_no_gpu_in_the_form_asks_the_queue_for_none(queued, cluster):
    for use_gpu, count in ((False, 0), (True, 1)):
        project, protocol = queued(number=5, useGpu=use_gpu)
        protocol.setHostConfig(project.getHostConfig("localhost"))
        assert protocol.getSubmitDict()["GPU_COUNT"] == count


@pytest.mark.slow
def test_chunks_are_jobs_of_their_own_in_the_queue(queued, cluster):
    def images(steps, **values):
        project, protocol = queued(steps, number=40, useGpu=False, **values)
        project.launchProtocol(protocol)
        seen = wait_for(project, protocol, lambda p: not p.isActive())
        assert seen.isFinished(), seen.getErrorMessage()
        return mrcfile.read(seen._getExtraPath("run", "particles.mrcs"))

    found = images("Y", workers=2, numberOfThreads=3)
    calls = (cluster / "calls.log").read_text().splitlines()
    *chunks, last = [re.findall(r"--chunk (\S+)", call) for call in calls]
    assert (sorted(chunks), last) == ([["1/2"], ["2/2"]], [])
    expected = images("N")
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.std())


@pytest.mark.slow
def test_stop_resume_and_restart_of_a_queued_job(queued, cluster):
    from pyworkflow.protocol.constants import MODE_RESTART, MODE_RESUME

    project, protocol = queued(number=60000, useGpu=False)
    project.launchProtocol(protocol)
    state = Path(protocol._getExtraPath("run", "simulation_state.json"))
    seen = wait_for(project, protocol, lambda p: state.exists() or not p.isActive())
    assert seen.isActive(), "it ended before it could be stopped"
    project.stopProtocol(seen)
    assert "scancel" in (cluster / "calls.log").read_text()
    stopped = project.getProtocol(protocol.getObjId())
    assert stopped.isAborted()
    time.sleep(1)
    assert not Path(stopped._getExtraPath("run", "metrics.json")).exists(), (
        "the program went on after scancel"
    )

    stopped.runMode.set(MODE_RESUME)
    project.launchProtocol(stopped)
    resumed = wait_for(project, stopped, lambda p: not p.isActive())
    assert resumed.isFinished()
    assert resumed.outputParticles.getSize() == 60000
    assert "Resuming at image" in Path(resumed.getStdoutLog()).read_text()

    resumed.number.set(30)
    resumed.runMode.set(MODE_RESTART)
    project.launchProtocol(resumed)
    again = wait_for(
        project, resumed, lambda p: p.isFinished() and p.outputParticles.getSize() == 30
    )
    assert json.loads(Path(again._getExtraPath("run", "config.json")).read_text())["number"] == 30
