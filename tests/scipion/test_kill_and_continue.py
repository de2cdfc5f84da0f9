"""The program is killed with SIGKILL in mid-work; Scipion's Continue gives what an uninterrupted
run gives.
"""

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from cryoposes_plugin.commands.config import THREAD_VARIABLES
from cryoposes_plugin.commands.simulate.presets import PRESETS
from cryoposes_plugin.core.io.mrc import write_volume

from .project import run_protocol, wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS_TO_WAIT = 240


@pytest.fixture(scope="module")
def imported(project, asymmetric_volume, tmp_path_factory):
    from pwem.protocols import ProtImportVolumes

    path = tmp_path_factory.mktemp("kill") / "map.mrc"
    write_volume(path, asymmetric_volume.data, asymmetric_volume.pixel_size_angstrom)
    sampling = asymmetric_volume.pixel_size_angstrom
    return run_protocol(
        project, project.newProtocol(ProtImportVolumes, filesPath=str(path), samplingRate=sampling)
    )


def make(project, imported, protocol_class, **parameters):
    from pyworkflow.object import Pointer

    protocol = project.newProtocol(protocol_class, numberOfThreads=1, **parameters)
    protocol.inputVolumes.append(Pointer(imported, extended="outputVolume"))
    return protocol


def program_of(protocol):
    """The process of the compute program, or None; another project's may run in a folder of the
    same name.
    """
    import psutil

    run = protocol._getExtraPath("run")
    found = [p for p in psutil.process_iter(["cmdline", "cwd"]) if run in (p.info["cmdline"] or [])]
    return next(
        (
            p
            for p in found
            if "cryoposes_plugin" in p.info["cmdline"] and p.info["cwd"] == os.getcwd()
        ),
        None,
    )


def kill_when(project, protocol, is_under_way):
    """Launch, kill the program as soon as it is under way, and return the protocol as Scipion then
    sees it.
    """
    project.launchProtocol(protocol, wait=False)
    deadline = time.monotonic() + SECONDS_TO_WAIT
    while time.monotonic() < deadline:
        # the file first: a look through all processes takes long on a busy machine
        process = (
            program_of(protocol) if is_under_way(Path(protocol._getExtraPath("run"))) else None
        )
        if process is not None:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.05)
    else:
        raise RuntimeError(f"the program was not under way within {SECONDS_TO_WAIT} s")
    stopped = wait_for(project, protocol, lambda p: not p.isActive(), SECONDS_TO_WAIT)
    assert stopped.isFailed(), f"it is {stopped.getStatus()}: it ended before it was killed"
    return stopped


def uninterrupted(protocol, folder):
    """The program's run of the protocol's config in another folder."""
    config = str(Path(protocol._getExtraPath("config.json")).resolve())
    command = [
        sys.executable,
        "-m",
        "cryoposes_plugin",
        protocol.CONFIG.command,
        "--config",
        config,
    ]
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
    environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), *filter(None, sys.path)])
    subprocess.run(
        [*command, "--output", str(folder)], env=environment, check=True, capture_output=True
    )
    return folder


def test_simulation(project, imported, tmp_path):
    from cryoposes_plugin.protocols import ProtCryoposesSimulate

    # the first images are on disk after two seconds; images with faults take long for each byte, so
    # that the last come many seconds later
    realistic = list(PRESETS).index("realistic")
    settings = dict(number=40000, boxSizePx=32, snr=0.5, seed=3, preset=realistic)
    killed = make(project, imported, ProtCryoposesSimulate, **settings)
    # the state is written with the first images that are safely on disk
    killed = kill_when(project, killed, lambda run: (run / "simulation_state.json").exists())
    assert not Path(killed._getExtraPath("run", "particles.mrcs")).exists()
    assert "press Continue" in killed.getErrorMessage()
    continued = run_protocol(project, killed)
    assert "Resuming at image" in Path(continued.getStdoutLog()).read_text()
    whole = uninterrupted(continued, tmp_path / "whole") / "particles.mrcs"
    assert (
        Path(continued._getExtraPath("run", "particles.mrcs")).read_bytes()[1024:]
        == whole.read_bytes()[1024:]
    )


def test_training(project, imported, tmp_path):
    from cryoposes_plugin.protocols import ProtCryoposesTrain

    settings = dict(
        steps=40, batchSize=8, validationNumber=32, boxSizePx=48, modelBoxSizePx=32, snr=1.0, seed=3
    )
    killed = make(project, imported, ProtCryoposesTrain, checkpointMinutes=0.01, **settings)
    killed = kill_when(project, killed, lambda run: (run / "checkpoint.npz").exists())
    assert not Path(killed._getExtraPath("run", "model")).exists()
    continued = run_protocol(project, killed)
    whole = uninterrupted(continued, tmp_path / "whole")

    def weights(run):
        with zipfile.ZipFile(Path(run) / "model" / "model.keras") as archive:
            return archive.read("model.weights.h5")

    assert weights(continued._getExtraPath("run")) == weights(whole)
