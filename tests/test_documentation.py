"""Documentation: links and pictures lead somewhere, nothing lies about, every command and protocol is named."""

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


def test_readme_and_user_guide_name_every_command_and_protocol():
    readme, guide = (
        path.read_text(encoding="utf-8") for path in (ROOT / "README.md", DOCS / "user_guide.md")
    )
    for command in (*CONFIGS, *PLAIN_COMMANDS):
        assert f"cryoposes {command}" in readme, command
    for config in CONFIGS.values():
        assert config.title in readme, config.title
        assert config.title in guide, config.title
