"""Adoption: answers under an old recipe count as answers under a new one, on both databases."""

from __future__ import annotations

import pytest
from making import ENTITIES, SEARCH, a_serving, documents, recipes_of, submit, work_off
from sqlalchemy import Engine

from models.answers import Task
from models.errors import UsageError
from models.jobs import Serving
from models.labels import Label
from models.queries.queries import Queries
from models.security import audit_trail
from models.security.audit_trail import Action
from models.store.store import Store

OLD, NEW, NEWER = a_serving(), a_serving(entities="other words"), a_serving(entities="newer words")


def entities_id(serving: Serving) -> str:
    return recipes_of(serving)[Task.ENTITIES].id


def answer_under_old(store: Store) -> None:
    submit(store, documents("No fever."), [ENTITIES], OLD)
    work_off(store, 1)


def adopt(store: Store, old: Serving, new: Serving) -> bool:
    return store.adopt_recipe(entities_id(old), recipes_of(new)[Task.ENTITIES])


def test_without_an_adoption_another_recipe_computes_the_answer_again(store: Store) -> None:
    answer_under_old(store)
    _, registered = submit(store, documents("No fever."), [ENTITIES], NEW)
    assert (registered.new_jobs, registered.known_jobs) == (1, 0)


def test_an_adopted_answer_is_not_computed_again_and_is_a_result_of_the_new_run(
    store: Store, queries: Queries
) -> None:
    answer_under_old(store)
    assert adopt(store, OLD, NEW)
    run_id, registered = submit(store, documents("No fever."), [ENTITIES], NEW)
    assert (registered.new_jobs, registered.known_jobs, registered.owed_document_ids) == (0, 1, ())
    [result] = queries.results(run_id=run_id)
    assert result["recipe"] == entities_id(OLD)


def test_only_finished_answers_of_the_same_text_and_question_count(store: Store) -> None:
    answer_under_old(store)
    submit(store, documents("No cough.", prefix="unanswered"), [ENTITIES], OLD)
    adopt(store, OLD, NEW)
    batch = [*documents("No cough.", prefix="other"), *documents("No rash.", prefix="new")]
    _, registered = submit(store, batch, [ENTITIES, SEARCH], NEW)
    assert (registered.new_jobs, registered.known_jobs) == (4, 0)


def test_adoptions_are_transitive(store: Store) -> None:
    answer_under_old(store)
    adopt(store, OLD, NEW)
    adopt(store, NEW, NEWER)
    _, registered = submit(store, documents("No fever."), [ENTITIES], NEWER)
    assert (registered.new_jobs, registered.known_jobs) == (0, 1)


def test_a_withdrawn_adoption_no_longer_counts(store: Store) -> None:
    answer_under_old(store)
    adopt(store, OLD, NEW)
    assert store.withdraw_adoption(entities_id(OLD), entities_id(NEW))
    assert not store.withdraw_adoption(entities_id(OLD), entities_id(NEW))
    _, registered = submit(store, documents("No fever."), [ENTITIES], NEW)
    assert registered.new_jobs == 1


def test_adoption_and_withdrawal_are_audited_once(store: Store, engine: Engine) -> None:
    answer_under_old(store)
    assert adopt(store, OLD, NEW)
    assert not adopt(store, OLD, NEW)
    store.withdraw_adoption(entities_id(OLD), entities_id(NEW))
    actions = [entry.action for entry in audit_trail.entries(engine, last=10)]
    assert [action for action in actions if "adopt" in action] == [Action.ADOPT, Action.UNADOPT]


def test_recipes_of_other_tasks_or_labels_are_refused(store: Store) -> None:
    answer_under_old(store)
    other_labels = recipes_of(NEW, (Label(name="device", definition="A device."),))[Task.ENTITIES]
    for other in (recipes_of(NEW)[Task.SUMMARY], other_labels, "0" * 16):
        with pytest.raises(UsageError):
            store.adopt_recipe(entities_id(OLD), other)


def test_two_recipes_never_adopt_each_other(store: Store) -> None:
    answer_under_old(store)
    adopt(store, OLD, NEW)
    with pytest.raises(UsageError, match="already"):
        adopt(store, NEW, OLD)


def test_the_list_of_recipes_shows_answers_and_adoptions(store: Store, queries: Queries) -> None:
    answer_under_old(store)
    adopt(store, OLD, NEW)
    by_id = {recipe.id: recipe for recipe in queries.recipes()}
    assert by_id[entities_id(OLD)].finished_jobs == 1
    assert by_id[entities_id(OLD)].adopted_by == (entities_id(NEW),)
    assert queries.stored_recipe(entities_id(OLD)[:8]).task is Task.ENTITIES
    with pytest.raises(UsageError, match="recipe list"):
        queries.stored_recipe("")
