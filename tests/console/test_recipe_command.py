"""`notemill recipe` and the offer of `notemill db upgrade`, on an archive answered by version 0.1.0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from making import documents, recipes_of, submit, work_off

from console.terminal.opened_database import database
from models.answers import Task
from models.jobs import Question, Serving, recipe_for
from models.labels import load_labels
from models.settings import load_settings
from worker.recipe import SAME_BEHAVIOUR, serving

if TYPE_CHECKING:
    from commands import Notemill

pytest_plugins = ("commands",)
SEARCH = Question(task=Task.SEARCH, parameters={"query": "fever"})


def _serving_of_version_0_1_0() -> Serving:
    """The present serving with the code hashes of 0.1.0 in place of the behaviour digests."""
    present = serving(load_settings())
    tasks: dict[str, Any] = {}
    for task, ingredients in present.ingredients["tasks"].items():
        code = next(code for code, digest in SAME_BEHAVIOUR.items() if digest == ingredients["behaviour"])
        tasks[task] = {key: value for key, value in ingredients.items() if key != "behaviour"} | {
            "code": code
        }
    return Serving(ingredients=present.ingredients | {"tasks": tasks})


@pytest.fixture
def old_id(notemill: Notemill) -> str:
    """The recipe of one stored search answer; its note is in the notes folder, too."""
    notemill.write(one="Fever since Monday.")
    old = _serving_of_version_0_1_0()
    with database(load_settings()) as opened:
        batch = [documents("Fever since Monday.")[0].model_copy(update={"external_id": "one.txt"})]
        submit(opened.store, batch, [SEARCH], old, load_labels())
        work_off(opened.store, 1, serving_id=old.id)
    return recipes_of(old)[Task.SEARCH].id


def _current_id() -> str:
    return recipe_for(Task.SEARCH, serving(load_settings()), ()).id


def _stored_recipes(notemill: Notemill) -> dict[str, dict[str, Any]]:
    return {recipe["id"]: recipe for recipe in notemill.json("recipe", "list")}


def test_an_upgrade_offers_to_keep_answers_and_keeps_none_by_itself(notemill: Notemill, old_id: str) -> None:
    assert notemill("db", "upgrade") == 0, notemill.err
    assert f"recipe adopt {old_id[:8]} now" in notemill.out
    assert _stored_recipes(notemill)[old_id]["adopted_by"] == []


def test_an_upgrade_that_adopts_leaves_nothing_to_compute(notemill: Notemill, old_id: str) -> None:
    assert notemill("db", "upgrade", "--adopt") == 0, notemill.err
    assert _stored_recipes(notemill)[old_id]["adopted_by"] == [_current_id()]
    assert notemill("run", notemill.notes, "--search", "fever", "--quiet") == 0, notemill.err
    assert notemill.answers_asked == 0
    assert notemill("db", "upgrade") == 0
    assert "recipe adopt" not in notemill.out


def test_an_adoption_is_taken_back_and_both_are_in_the_audit_trail(notemill: Notemill, old_id: str) -> None:
    assert notemill("recipe", "adopt", old_id[:6], "now") == 0, notemill.err
    assert notemill("recipe", "adopt", "--undo", old_id[:6], "now") == 0, notemill.err
    assert _stored_recipes(notemill)[old_id]["adopted_by"] == []
    actions = [entry["action"] for entry in notemill.json("audit", "show")]
    assert actions.count("adopt") == actions.count("unadopt") == 1


def test_a_difference_names_the_ingredients_and_nothing_else(notemill: Notemill, old_id: str) -> None:
    assert notemill("recipe", "diff", old_id[:8], "now") == 0, notemill.err
    assert [line.split()[0] for line in notemill.out.splitlines()[1:]] == ["task.code", "task.behaviour"]


def test_a_recipe_shows_its_ingredients(notemill: Notemill, old_id: str) -> None:
    assert notemill("recipe", "show", old_id[:8]) == 0, notemill.err
    assert f'"id": "{old_id}"' in notemill.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "zzz"), "notemill recipe list"),
        (("adopt",), "Missing argument 'OLD'"),
    ],
)
def test_an_error_says_what_to_type(notemill: Notemill, arguments: tuple[str, ...], words: str) -> None:
    assert notemill("recipe", *arguments) == 2
    assert words in notemill.err
