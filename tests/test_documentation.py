"""Documentation: links and pictures exist, and what the pages name is what the program has."""

import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from cryoposes_plugin.cli.main import PLAIN_COMMANDS
from cryoposes_plugin.commands.registry import CONFIGS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
if not DOCS.is_dir():
    pytest.skip("the documentation is not installed", allow_module_level=True)
PAGES = sorted(DOCS.glob("*.md")) + [ROOT / "README.md", ROOT / "CHANGELOG.md"]
ROOMS = sorted(p.parent.name for p in (ROOT / "cryoposes_plugin/core").glob("*/__init__.py"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def text_of(page):
    """Without code, whose brackets are no links."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)


def anchors(page):
    """Those of GitHub, of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page):
    for link in LINK.findall(text_of(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}"


def test_every_page_is_in_the_index_and_every_picture_on_a_page():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    contents = (
        re.search(r"```\{toctree\}(.*?)```", index, re.S).group(1).split("\n\n", 1)[1].split()
    )
    assert sorted(contents) == sorted(
        page.stem for page in DOCS.glob("*.md") if page.name != "index.md"
    )
    shown = {
        (page.parent / link).resolve() for page in PAGES for link in LINK.findall(text_of(page))
    }
    assert set(DOCS.rglob("*.png")) <= shown


@pytest.mark.parametrize("command", [*CONFIGS, *PLAIN_COMMANDS])
def test_the_readme_names_every_command(command):
    assert f"cryoposes {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/user_guide.md"])
@pytest.mark.parametrize("title", [config.title for config in CONFIGS.values()])
def test_readme_and_user_guide_name_every_protocol(page, title):
    words = (ROOT / page).read_text(encoding="utf-8").split()
    assert title in " ".join(words)


@pytest.mark.parametrize("page", ["user_guide.md", "tutorial.md"])
def test_parameters_in_bold_are_labels_of_the_forms(page):
    labels = {f.metadata["label"] for c in CONFIGS.values() for f in dataclasses.fields(c)}
    bold = re.findall(r"\*\*([A-Z][^*.]+)\*\*", (DOCS / page).read_text(encoding="utf-8"))
    assert len(bold) > 5
    assert {" ".join(name.split()) for name in bold} - labels == set()


@pytest.mark.parametrize("room", ROOMS)
def test_the_api_page_lists_what_each_room_shows(room):
    package = importlib.import_module(f"cryoposes_plugin.core.{room}")
    public = getattr(package, "__all__", ())
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(rf":: {re.escape(package.__name__)}\.(\w+)$", page, re.M))
    assert set(public) - listed == set()


def test_the_files_that_the_developers_page_names_exist():
    text = (DOCS / "developer.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:core|commands|cli|scipion)/[\w/]*(?:\.py)?)`", text)
    assert len(named) > 40
    assert [name for name in named if not (ROOT / "cryoposes_plugin" / name).exists()] == []


@pytest.mark.parametrize(
    "page", [*sorted(DOCS.glob("*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_prose_is_wrapped_at_100_columns(page):
    """Tables, code, equations and pictures are as wide as they must be."""
    text = re.sub(r"^(```|\$\$).*?^\1$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    prose = [line for line in text.splitlines() if not line.startswith(("|", "    ", "!["))]
    assert [line for line in prose if len(line) > 100] == []
