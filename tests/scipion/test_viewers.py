"""Which viewer a double click opens, under the preferences that Scipion starts with."""

import pytest

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

from pwem import Domain
from pwem.objects import SetOfVolumes, Volume, VolumeMask
from pyworkflow import Config

from cryoposes_plugin import plugin

XMIPP = "pwem.viewers.DataViewer"


@pytest.fixture
def as_scipion_starts(scipion_environment, monkeypatch):
    """scipion/__main__.py sets these; pyworkflow keeps what it made of them."""
    sets = ["pwem.viewers.mdviewer.MDViewer", XMIPP]
    monkeypatch.setattr(
        Config, "VIEWERS", {"Volume": [XMIPP], "VolumeMask": [XMIPP], "SetOfVolumes": sets}
    )
    monkeypatch.setattr(Domain, "_preferred_viewers", None)


def first_viewer(thing) -> str:
    return Domain.findViewers(thing, "tkinter")[0].__name__


@pytest.mark.parametrize("thing", [Volume(), VolumeMask()])
def test_slices_open_where_xmipp_is_missing(as_scipion_starts, monkeypatch, thing):
    monkeypatch.setattr(plugin, "xmipp_is_installed", lambda: False)
    assert plugin.prefer_viewers_that_work()
    assert first_viewer(thing) == "CentralSlicesViewer"


@pytest.mark.parametrize("thing", [Volume(), VolumeMask()])
def test_xmipp_keeps_its_place_where_it_is_installed(as_scipion_starts, monkeypatch, thing):
    monkeypatch.setattr(plugin, "xmipp_is_installed", lambda: True)
    assert not plugin.prefer_viewers_that_work()
    assert first_viewer(thing) == "DataViewer"


def test_sets_of_volumes_open_without_xmipp(as_scipion_starts, monkeypatch):
    monkeypatch.setattr(plugin, "xmipp_is_installed", lambda: False)
    plugin.prefer_viewers_that_work()
    assert first_viewer(SetOfVolumes(filename=":memory:")) == "MDViewer"


def test_what_the_user_prefers_stays(as_scipion_starts, monkeypatch):
    monkeypatch.setattr(plugin, "xmipp_is_installed", lambda: False)
    monkeypatch.setattr(Config, "VIEWERS", {"Volume": ["pwem.viewers.ChimeraViewer"]})
    assert not plugin.prefer_viewers_that_work()
    assert first_viewer(Volume()) == "ChimeraViewer"
