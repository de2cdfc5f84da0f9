"""Scipion's environment and a project. pyworkflow looks for plugins once: ours is registered before
anything asks.
"""

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from cryoposes_plugin.core.fourier.resampling import resample_volume
from cryoposes_plugin.core.io.mrc import write_volume

from .project import TOUR_BOX, TOUR_NUMBER, TOUR_PIXEL, link, register_plugin, run_protocol

HAS_SCIPION = importlib.util.find_spec("pwem") is not None
if HAS_SCIPION:
    register_plugin(Path(os.environ["SCIPION_HOME"]))


@pytest.fixture(scope="session")
def scipion_environment():
    """Or a skip where Scipion is not installed."""
    if not HAS_SCIPION:
        pytest.skip("Scipion (scipion-em) is not installed")
    from pwem import Domain

    Domain.getProtocols()  # tells each protocol which plugin it is of


@pytest.fixture(scope="session")
def session_project(scipion_environment):
    """A real project; its paths are relative to it: use it through `project`."""
    from pyworkflow.project import Manager

    before = os.getcwd()
    created = Manager().createProject(f"tests_{os.getpid()}")
    os.chdir(before)
    return created


@pytest.fixture(scope="module")
def project(session_project):
    """The project as the working directory, as in Scipion."""
    before = os.getcwd()
    os.chdir(session_project.path)
    yield session_project
    os.chdir(before)


@pytest.fixture(scope="session")
def map_file(asymmetric_volume, tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.mrc"
    data = resample_volume(
        asymmetric_volume.data, asymmetric_volume.pixel_size_angstrom, TOUR_BOX, TOUR_PIXEL
    )
    write_volume(path, data.astype(np.float32), TOUR_PIXEL)
    return path


@pytest.fixture(scope="session")
def imported(session_project, map_file):
    from pwem.protocols import ProtImportVolumes

    protocol = session_project.newProtocol(
        ProtImportVolumes, filesPath=str(map_file), samplingRate=TOUR_PIXEL
    )
    return run_protocol(session_project, protocol)


@pytest.fixture(scope="session")
def simulated(session_project, imported):
    from cryoposes_plugin.protocols import ProtCryoposesSimulate

    protocol = session_project.newProtocol(
        ProtCryoposesSimulate,
        number=TOUR_NUMBER,
        snr=4.0,
        seed=3,
        astigmatismAngstrom=400.0,
        numberOfThreads=1,
        defocusRangeAngstromMin=6000.0,
        defocusRangeAngstromMax=12000.0,
    )
    link(protocol, "inputVolumes", imported, "outputVolume")
    return run_protocol(session_project, protocol)


@pytest.fixture(scope="session")
def trained(session_project, imported, simulated):
    from cryoposes_plugin.protocols import ProtCryoposesTrain

    protocol = session_project.newProtocol(
        ProtCryoposesTrain,
        steps=12,
        batchSize=16,
        validationNumber=32,
        modelBoxSizePx=32,
        seed=1,
        numberOfThreads=1,
    )
    protocol.minutes.set(None)
    link(protocol, "inputVolumes", imported, "outputVolume")
    link(protocol, "inputLike", simulated, "outputParticles")
    return run_protocol(session_project, protocol)


@pytest.fixture(scope="session")
def inferred(session_project, imported, simulated, trained):
    from cryoposes_plugin.protocols import ProtCryoposesInfer

    protocol = session_project.newProtocol(ProtCryoposesInfer, numberOfThreads=1)
    link(protocol, "inputParticles", simulated, "outputParticles")
    link(protocol, "inputModel", trained, "outputModel")
    link(protocol, "inputVolume", imported, "outputVolume")
    return run_protocol(session_project, protocol)


@pytest.fixture(scope="session")
def filtered(session_project, inferred):
    from cryoposes_plugin.protocols import ProtCryoposesFilter

    protocol = session_project.newProtocol(ProtCryoposesFilter, keepQuantile=0.75)
    link(protocol, "inputParticles", inferred, "outputParticles")
    return run_protocol(session_project, protocol)


@pytest.fixture(scope="session")
def reconstructed(session_project, simulated, imported):
    from cryoposes_plugin.protocols import ProtCryoposesReconstruct

    protocol = session_project.newProtocol(ProtCryoposesReconstruct, numberOfThreads=1)
    link(protocol, "inputParticles", simulated, "outputParticles")
    link(protocol, "inputReference", imported, "outputVolume")
    return run_protocol(session_project, protocol)


@pytest.fixture(scope="session")
def relion_environment():
    pytest.importorskip("relion", reason="scipion-em-relion is not installed")
    if shutil.which("relion_reconstruct") is None:
        pytest.skip("RELION is not installed (Debian: apt-get install relion)")
    root = ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM")
    few_cores = ("OMPI_MCA_rmaps_base_oversubscribe", "OMPI_MCA_mpi_yield_when_idle")
    os.environ.update(dict.fromkeys(root + few_cores, "1"))
