"""The folder of a run as one transaction: taken in one step, finished in one step."""

import json

import pytest

from cryoposes_plugin.core.config import FilterConfig
from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.io.run_directory import RunDirectory

CONFIG = FilterConfig(particles="a.star", keep_quantile=0.5)


def test_a_folder_that_was_not_taken_yet_is_free(tmp_path):
    """What a run leaves that was stopped before its config.json was there, in this version or the one before."""
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "config.json.part").mkdir()
    (tmp_path / "config.json.part" / "config.json").write_text('{"comm')
    (tmp_path / "manifest.json.part").write_text("{")
    assert not RunDirectory.open(tmp_path, CONFIG).resumed
    assert json.loads((tmp_path / "manifest.json").read_text())["command"] == "filter"


def test_a_run_stopped_between_config_and_manifest_goes_on(tmp_path):
    RunDirectory.open(tmp_path, CONFIG)
    (tmp_path / "manifest.json").unlink()
    assert RunDirectory.open(tmp_path, CONFIG).resumed
    assert json.loads((tmp_path / "manifest.json").read_text())["config_digest"] == CONFIG.digest()


def test_a_manifest_that_was_lost_later_is_not_made_up(tmp_path):
    RunDirectory.open(tmp_path, CONFIG)
    (tmp_path / "manifest.json").unlink()
    (tmp_path / "accepted.star").write_text("")
    with pytest.raises(ConfigError, match="manifest.json is missing"):
        RunDirectory.open(tmp_path, CONFIG)
