"""Fixtures of the tests of refinement."""

import pytest


@pytest.fixture(scope="module")
def scene():
    from .scene import Scene

    return Scene()
