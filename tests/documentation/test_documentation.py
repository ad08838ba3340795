"""The documentation as a site: it builds without a warning, fetches nothing, and is as the code is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from console.terminal.exit_status import MEANINGS

ROOT = Path(__file__).parents[2]
FETCHED = re.compile(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=\"https?:")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_of_the_docs_is_a_page_of_the_site(site: Path) -> None:
    written = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    assert {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")} >= written


def test_the_site_fetches_nothing_from_outside(site: Path) -> None:
    assert [
        found for path in site.rglob("*.html") for found in FETCHED.findall(path.read_text("utf-8"))
    ] == []


def test_the_reference_is_what_the_code_says() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "reference"), "--print"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "docs" / "reference.md").read_text("utf-8"), "type: scripts/reference"


def test_the_help_lists_every_exit_status() -> None:
    done = subprocess.run([sys.executable, "notemill.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    words = " ".join(done.stdout.split())
    assert [
        status for status, meaning in MEANINGS.items() if f"{status} {meaning.replace('`', '')}" not in words
    ] == []
