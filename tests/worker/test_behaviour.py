"""The behaviour digest in recipes: what changes it, and what does not."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from tiny import write_tiny_weights

from models.answers import Task
from models.jobs import recipe_for
from models.labels import load_labels
from models.settings import Settings
from tests.behaviour.coverage import LEAST_PERCENT, Measurement, measure
from tests.behaviour.digest import TABLES, digests_of, outputs, probes, rule_tables
from tests.behaviour.replay import Recordings, ReplayEngine
from worker import recipe
from worker.recipe import BEHAVIOUR_FILE, behaviour_digests, has_same_answers, serving

ROOT = Path(__file__).parents[2]
TABLE_PATHS = sorted(rule_tables())


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Any]]:
    return outputs(ReplayEngine(Recordings.read()))


@pytest.fixture(scope="module")
def measurement() -> Measurement:
    """Runs the probes in another process, in which sets have another order."""
    return measure()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(weights=str(write_tiny_weights(tmp_path_factory.mktemp("weights"))))


def recipes(settings: Settings) -> dict[Task, str]:
    return {task: recipe_for(task, serving(settings), load_labels()).id for task in Task}


def test_the_committed_digests_equal_those_of_the_answer_code(parts: dict[str, list[Any]]) -> None:
    committed = json.loads(BEHAVIOUR_FILE.read_text("utf-8"))
    assert digests_of(parts, rule_tables()) == committed, (
        "if that is intended, type: scripts/behaviour --write"
    )


def test_there_are_at_least_sixty_probes_of_many_kinds() -> None:
    assert len({probe.text for probe in probes()}) >= 60


def test_the_probes_execute_nearly_all_lines_of_the_answer_code(measurement: Measurement) -> None:
    assert measurement.percent >= LEAST_PERCENT, measurement.missing


def test_the_digests_do_not_depend_on_the_order_of_sets(measurement: Measurement) -> None:
    assert measurement.digests == json.loads(BEHAVIOUR_FILE.read_text("utf-8"))


def test_a_recipe_reads_no_source_code(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    original = io.open

    def recording(file: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(str(file))
        return original(file, *arguments, **options)

    recipes(settings)  # imports what it needs
    behaviour_digests.cache_clear()
    monkeypatch.setattr(io, "open", recording)
    recipes(settings)
    assert any(name.endswith("behaviour.json") for name in opened)
    assert [name for name in opened if name.endswith(".py")] == []


@pytest.mark.parametrize("path", TABLE_PATHS)
def test_a_word_added_to_a_rule_table_changes_exactly_the_recipes_of_the_tasks_that_use_it(
    path: str, parts: dict[str, list[Any]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = copy.deepcopy(rule_tables())
    add_word(tables[path])
    before = recipes(settings)
    monkeypatch.setattr(recipe, "behaviour_digests", lambda: digests_of(parts, tables))
    after = recipes(settings)
    assert {task for task in Task if before[task] != after[task]} == {
        task for task, used in TABLES.items() if path in used
    }


def add_word(table: Any) -> None:
    """Adds a word that occurs in no probe to the first list of a table."""
    for value in table.values() if isinstance(table, dict) else ():
        if isinstance(value, list):
            value.append("zygodactyl")
            return
        if isinstance(value, dict):
            add_word(value)
            return
    raise AssertionError("the table has no list")


OLD = {"weights": "w", "quantization": "nf4", "task": {"prompts": "p", "code": "e8ce9c59d79e0a51"}}


def new_for(task: Task) -> dict[str, Any]:
    return {
        "weights": "w",
        "quantization": "nf4",
        "task": {"prompts": "p", "behaviour": behaviour_digests()[task.value]},
    }


def test_code_of_version_0_1_0_has_the_same_answers_as_this_version() -> None:
    assert has_same_answers(OLD, new_for(Task.ENTITIES))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (OLD, new_for(Task.SEARCH)),
        (OLD, new_for(Task.ENTITIES) | {"weights": "others"}),
        ({**OLD, "task": {"prompts": "p", "code": "0" * 16}}, new_for(Task.ENTITIES)),
        (new_for(Task.ENTITIES), new_for(Task.ENTITIES)),
    ],
)
def test_other_code_weights_or_tasks_do_not_have_the_same_answers(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert not has_same_answers(old, new)
