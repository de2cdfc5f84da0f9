"""One registry of scores: every column of ours is in it, and the lists of scores are taken from it."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import cryoposes_plugin
from cryoposes_plugin.commands.filter.config import FilterConfig
from cryoposes_plugin.commands.filter.decision import decide
from cryoposes_plugin.commands.registry import CONFIGS
from cryoposes_plugin.core import scores
from cryoposes_plugin.core.io.star_labels import IMAGE_SIGN, UID_LABEL
from cryoposes_plugin.core.types import OpticsGroup, ParticleTable

PACKAGE = Path(cryoposes_plugin.__file__).parent
PROTOCOLS = PACKAGE.parent / "protocols"
#: Identity and sign of cryoSPARC's images say nothing of a pose, and pass through no other program.
OF_CRYOSPARC = {UID_LABEL, IMAGE_SIGN}
COLUMN = re.compile(r"_?(cryoposes[A-Z]\w*)")


def columns_named_in(path: Path):
    """Our columns among the strings of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = COLUMN.fullmatch(node.value)
            if found:
                yield found.group(1)


def test_every_column_that_the_program_names_is_registered():
    files = [
        *PACKAGE.joinpath("core").rglob("*.py"),
        *PACKAGE.joinpath("commands").rglob("*.py"),
        *PROTOCOLS.glob("*.py"),
    ]
    files = [path for path in files if path.name != "scores.py"]
    named = {name for path in files for name in columns_named_in(path)}
    assert "cryoposesAngularErrorDeg" in named  # the search finds what is written
    assert named - OF_CRYOSPARC <= set(scores.COLUMNS)


#: The unit of a score is told by how its name ends.
UNITS = {"Deg": "°", "Angstrom": "Å", "Bits": "bits"}


def test_a_score_is_registered_once_with_all_that_is_said_of_it():
    assert len(set(scores.COLUMNS)) == len(scores.COLUMNS) == len(scores.SCORES) + len(scores.TEXTS)
    assert len({score.title for score in scores.SCORES}) == len(scores.SCORES)
    for score in scores.SCORES:
        assert score.help.endswith(".")
        assert score.label
        assert set(score.commands) <= set(CONFIGS)
        told = [unit for end, unit in UNITS.items() if score.name.endswith(end)]
        assert [score.unit] == (told or [""])


def test_scores_are_chosen_by_label():
    field = FilterConfig.__dataclass_fields__["score"].metadata
    titles = dict(zip(field["choices"], field["titles"]))
    assert titles["cryoposesExpectedErrorDeg"] == "expected error (°)"
    assert titles["cryoposesWrongBasin"] == "probability of a wrong pose"
    assert set(titles) == {score.name for score in scores.SCORES if score.better}


def test_the_places_of_older_choices_stay():
    """Scipion stores the place of a choice."""
    assert scores.RANKING[:7] == (
        "cryoposesTrace",
        "cryoposesDispersion",
        "cryoposesExpectedErrorDeg",
        "cryoposesWrongBasin",
        "cryoposesResidual",
        "cryoposesDistanceResidualDeg",
        "cryoposesOutlierScore",
    )


@pytest.mark.parametrize(
    "command, expected",
    [
        ("infer", "cryoposesTrace"),
        ("refine", "cryoposesExpectedErrorDeg"),
        ("recover", "cryoposesTrace"),
        ("", "cryoposesTrace"),
    ],
)
def test_a_command_is_judged_by_its_own_score(command, expected):
    present = {"cryoposesExpectedErrorDeg", "cryoposesTrace", "cryoposesBasins"}
    assert scores.best_ranking(present, command) == expected


def test_a_count_ranks_nothing():
    assert scores.best_ranking({"cryoposesBasins"}) is None


@pytest.mark.parametrize(
    "name, kept",
    [
        ("cryoposesSearchCertainty", [False, True, True]),
        ("cryoposesExpectedErrorDeg", [True, False, True]),
    ],
)
@pytest.mark.parametrize("how", [{"threshold": 0.5}, {"keep_quantile": 0.67}])
def test_the_certain_end_is_kept(name, kept, how):
    zeros = np.zeros(3, dtype=np.int64)
    table = ParticleTable(
        ids=np.arange(3),
        stack_paths=("a.mrcs",),
        stack_index=zeros,
        slice_index=zeros,
        optics=(OpticsGroup("one", 4.0, 32),),
        optics_index=zeros,
        scores={name: np.array([0.1, 0.9, 0.5])},
    )
    assert decide(FilterConfig(score=name, **how), table).accepted.tolist() == kept


def test_the_guide_lists_every_score_as_it_is_registered():
    guide = PACKAGE.parent / "docs" / "user_guide.md"
    if not guide.exists():
        pytest.skip("the documentation is not installed")
    text = guide.read_text(encoding="utf-8")
    for s in scores.SCORES:
        where = f"| {s.unit or '-'} | {s.better or '-'} | {', '.join(s.commands)} |"
        assert f"| {s.label} | `_{s.name}` {where} {s.help} |" in text
    assert all(f"`_{name}`" in text for name in scores.TEXTS)
