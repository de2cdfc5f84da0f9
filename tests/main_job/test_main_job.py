"""The main job's command line: what it refuses before it touches anything, and what it sets for
Scipion.
"""

import os

import mrcfile
import pytest

from cryoposes_plugin.core.errors import ConfigError, ResourceError
from cryoposes_plugin.main_job import __main__ as main_job


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """What the job sets for Scipion must not reach other tests."""
    monkeypatch.setattr(main_job, "_require_installed_plugin", lambda: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop("SCIPION_HOME", None)


def settings(folder, *arguments):
    return main_job.make_parser().parse_args(
        ["--map", "phantom", "--folder", str(folder), *arguments]
    )


def test_the_word_phantom_makes_a_map(tmp_path):
    chosen = settings(tmp_path)
    main_job.prepare(chosen)
    with mrcfile.open(chosen.map) as mrc:
        assert mrc.data.shape == (64, 64, 64)
        assert float(mrc.voxel_size.x) == pytest.approx(5.0)


def test_projects_go_to_the_folder_and_settings_of_the_user_stay(tmp_path):
    os.environ["SCIPION_HOSTS"] = "mine"
    main_job.prepare(settings(tmp_path / "new"))
    assert os.environ["SCIPION_USER_DATA"] == str(tmp_path / "new")
    assert os.environ["SCIPION_HOSTS"] == "mine"
    assert (tmp_path / "new" / "scipion").is_dir()
    assert os.environ["SCIPION_NOTIFY"] == "False", "nothing is sent to anybody"


def test_an_existing_project_is_only_replaced_when_told(tmp_path):
    old = tmp_path / "projects" / "mine"
    old.mkdir(parents=True)
    with pytest.raises(ConfigError, match="mine already exists; choose another --project"):
        main_job.prepare(settings(tmp_path, "--project", "mine"))
    assert old.exists()
    main_job.prepare(settings(tmp_path, "--project", "mine", "--replace"))
    assert not old.exists()


def test_a_missing_map_is_named_and_nothing_is_deleted(tmp_path, capsys):
    old = tmp_path / "projects" / "cryoposes"
    old.mkdir(parents=True)
    assert (
        main_job.main(["--map", str(tmp_path / "no.mrc"), "--folder", str(tmp_path), "--replace"])
        == 2
    )
    assert "no.mrc does not exist" in capsys.readouterr().err
    assert old.exists()


def test_a_plugin_that_scipion_cannot_see_is_an_error(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(main_job.metadata, "distributions", lambda: [])
    with pytest.raises(ResourceError, match="pip install -e"):
        main_job._require_installed_plugin()


def test_the_table_shows_every_number_in_line():
    results = pytest.importorskip(
        "cryoposes_plugin.main_job.results", reason="Scipion (scipion-em) is not installed"
    )
    lines = results.table(
        {
            "results": {"median (°)": 7.12345, "particles": 2000},
            "seconds": {"train": 330.04, "filter": 6.0},
        }
    )
    assert lines[0].split() == ["median", "(°)", "7.123"]
    assert lines[1].split() == ["particles", "2000"]
    assert lines[-1].split() == ["all", "steps", "(s)", "336.0"]
    assert len({len(line) for line in lines if line}) == 1


@pytest.mark.parametrize(
    "of_all, of_kept, words",
    [
        (12.2, 12.1, "hardly differ: the junk that was left out hardly harmed this map"),
        (14.0, 12.0, "differ: the map is better without what was left out"),
        (12.0, 14.0, "differ: the map is worse without what was left out"),
    ],
)
def test_the_conclusion_says_in_words_what_the_filter_did(of_all, of_kept, words):
    results = pytest.importorskip(
        "cryoposes_plugin.main_job.results", reason="Scipion (scipion-em) is not installed"
    )
    numbers = {
        "particles kept": 0.995,
        "junk in the set": 0.2,
        "junk among the kept": 0.0012,
        "far off centre among the kept, pose and place right": 12,
    }
    said = results.conclusion(numbers, of_all, of_kept)
    assert said.startswith(
        "The filter kept 99.5 % of the particles and reduced the junk from 20 % of the images to "
        "0.12 %."
    )
    assert "Among the kept are 12 particles far off centre at the right pose and place" in said
    assert said.endswith(f"from the kept ones ({of_kept:.2f} Å) {words}.")
