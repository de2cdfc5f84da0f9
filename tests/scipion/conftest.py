"""Scipion's environment and a project. pyworkflow looks for plugins once: ours is registered before anything asks."""

import importlib.util
import os
from pathlib import Path

import pytest

from .project import register_plugin

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


@pytest.fixture(scope="module")
def project(scipion_environment):
    """A real project; the working directory is the project's, as in Scipion."""
    from pyworkflow.project import Manager

    before = os.getcwd()
    created = Manager().createProject(f"tests_{os.getpid()}")
    os.chdir(created.path)
    yield created
    os.chdir(before)
