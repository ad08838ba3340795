"""README, start page and settings page name what exists: settings, verbs, queries and files."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine
from typer.main import get_group
from workshop import ROOT

from models.queries.readonly_sql import run_select
from models.settings import PREFIX, Settings
from notemill.verbs import app

README = (ROOT / "README.md").read_text("utf-8")
START = (ROOT / "docs" / "index.md").read_text("utf-8")
SETTINGS = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
ANALYST = (ROOT / "docs" / "guides" / "analyst.md").read_text("utf-8")


def test_the_table_of_settings_has_every_setting_and_no_other() -> None:
    named = set(re.findall(rf"^\| `({PREFIX}\w+)`", SETTINGS, re.MULTILINE))
    assert named == {PREFIX + name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", ["max_kills", "lease_seconds", "summary_words", "window_tokens"])
def test_a_default_in_the_table_matches_the_code(name: str) -> None:
    shown = re.search(rf"^\| `{PREFIX}{name.upper()}` \| `?([\d.]+)`? \|", SETTINGS, re.MULTILINE)
    assert shown is not None
    assert float(shown[1]) == Settings.model_fields[name].default


def test_the_table_of_verbs_has_every_verb_and_no_other() -> None:
    row = next(line for line in START.splitlines() if line.startswith("| `run` "))
    assert set(re.findall(r"`(\w+)`", row)) == set(get_group(app).commands)


def test_the_printed_queries_run(engine: Engine) -> None:
    statements = re.findall(r'notemill sql "([^"]+)"', ANALYST + README + START)
    assert len(set(statements)) >= 4
    for statement in set(statements):
        names, rows, _ = run_select(engine, statement, 10)
        assert names
        assert rows == []


def test_linked_files_exist() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 900
