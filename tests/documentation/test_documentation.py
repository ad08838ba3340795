"""The documentation site builds without a warning, fetches nothing and matches the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from markdown.extensions.toc import slugify

from console.terminal.exit_status import MEANINGS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FETCHED = re.compile(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=\"https?:")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
TOP_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES = [*TOP_PAGES, ROOT / "examples" / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_of_the_docs_is_a_page_of_the_site(site: Path) -> None:
    source_pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    assert {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")} >= source_pages


def test_the_site_fetches_nothing_from_outside(site: Path) -> None:
    assert [
        match for path in site.rglob("*.html") for match in FETCHED.findall(path.read_text("utf-8"))
    ] == []


def test_the_site_has_no_diagram_that_makes_the_theme_load_a_script(site: Path) -> None:
    assert [path.name for path in site.rglob("*.html") if 'class="mermaid' in path.read_text("utf-8")] == []


def test_the_build_fails_on_a_page_outside_the_navigation_and_on_a_broken_link() -> None:
    validation = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["validation"]
    checks = [validation["nav"]["omitted_files"], *validation["links"].values()]
    assert checks == ["warn"] * 5


def test_every_page_is_in_the_navigation_once() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:")[2]
    listed_pages = re.findall(r"[\w./-]+\.md", navigation)
    assert sorted(listed_pages) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in LINK.findall(without_code(page.read_text("utf-8"))):
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not heading or heading in headings(target), link


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(page: Path) -> set[str]:
    """Returns the anchors of the page's headings, as MkDocs generates them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slugify(words, "-") for words in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def test_the_generated_reference_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "reference"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_help_lists_every_exit_status() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "notemill", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    words = " ".join(done.stdout.split())
    assert [
        status for status, meaning in MEANINGS.items() if f"{status} {meaning.replace('`', '')}" not in words
    ] == []
