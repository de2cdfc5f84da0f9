"""Fixtures shared by all tests. Scipion's variables are set before anything imports pyworkflow."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    # These are the home of the process that shares the tests out; a worker has its own.
    for name in ("SCIPION_HOME", "SCIPION_USER_DATA"):
        os.environ.pop(name, None)
os.environ.setdefault("SCIPION_HOME", tempfile.mkdtemp(prefix="cryoposes-scipion-"))
os.environ.setdefault("SCIPION_USER_DATA", os.path.join(os.environ["SCIPION_HOME"], "data"))
os.environ.setdefault("SCIPION_DOMAIN", "pwem")
os.environ.setdefault(
    "SCIPION_HOSTS",
    str(Path(sysconfig.get_paths()["purelib"]) / "scipion/templates/hosts.template"),
)
os.environ.setdefault("SCIPION_PYTHON", sys.executable)
os.environ.setdefault("SCIPION_NOTIFY", "False")
os.environ.setdefault("RELION_HOME", "/usr")

import numpy as np
import pytest
from scipy import ndimage

from cryoposes_plugin.core.types import Volume

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from .sharing import FilesTogether

    return FilesTogether(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark by folder and fixture, before pytest selects by marks; a worker of xdist takes its tests
    by rank.
    """
    for item in items:
        if item.nodeid.startswith("tests/scipion/"):
            item.add_marker("scipion")
        if {"relion", "shared_data"} & set(item.fixturenames):
            item.add_marker("oracle")
    if "PYTEST_XDIST_WORKER" in os.environ:
        from .sharing import rank

        items.sort(key=lambda item: rank(item.nodeid))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real maps and images, or a skip."""
    folder = Path(os.environ.get("CRYOPOSES_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real maps and images are not at {folder} (set CRYOPOSES_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def relion():
    """Runs a RELION program: relion("relion_project", "--i", ..., cwd=folder) -> its output; or a
    skip.
    """
    if shutil.which("relion_reconstruct") is None:
        pytest.skip("RELION is not installed (Debian: apt-get install relion)")

    def run(*command, cwd) -> str:
        result = subprocess.run(
            [str(c) for c in command], cwd=cwd, text=True, capture_output=True, timeout=300
        )
        if result.returncode:
            raise RuntimeError(
                f"{command[0]} ended with "
                f"{result.returncode}:\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
            )
        return result.stdout

    return run


def make_asymmetric_volume(box: int = 48, pixel_size_angstrom: float = 5.0) -> Volume:
    """A few unequal blobs without any symmetry or mirror symmetry."""
    rng = np.random.default_rng(7)
    data = np.zeros((box,) * 3, dtype=np.float32)
    centre = box // 2
    for _ in range(40):
        direction = rng.standard_normal(3) * [0.16, 0.10, 0.07]
        z, y, x = np.clip(np.round(centre + box * direction), 3, box - 4).astype(int)
        data[z, y, x] += rng.uniform(0.3, 1.0)
    data[centre + box // 6, centre + box // 5, centre - box // 8] += 6
    data[centre - box // 4, centre + box // 10, centre + box // 7] += 4
    data = ndimage.gaussian_filter(data, 1.3)
    return Volume((data / data.std()).astype(np.float32), pixel_size_angstrom)


@pytest.fixture(scope="session")
def asymmetric_volume() -> Volume:
    return make_asymmetric_volume()


@pytest.fixture
def rng():
    return np.random.default_rng(20211)
