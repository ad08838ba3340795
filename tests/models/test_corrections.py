"""Corrections are stored, outlive the answer, and become training records."""

from __future__ import annotations

from typing import Any

import pytest
from making import NOTE, a_serving, claimed, documents, finished, record, submit, work_off
from sqlalchemy import Engine, text

from models.answers import Assertion
from models.corrections import Correction, MentionKey, Verdict, with_verdicts
from models.documents import text_sha256
from models.queries.queries import Queries
from models.schema.database import write_transaction
from models.store.corrections import NotInTextError
from models.store.store import Store

SHA = text_sha256(NOTE)
PAIN = MentionKey(0, 4, "problem")
ASPIRIN = MentionKey(NOTE.index("Aspirin"), NOTE.index("Aspirin") + 7, "medication")


def correction(verdict: Verdict, found: MentionKey = PAIN, **changes: Any) -> Correction:
    start, end, label = found
    return Correction(
        **{"verdict": verdict, "found": found, "start": start, "end": end, "label": label} | changes
    )


@pytest.fixture
def corrected(store: Store) -> Store:
    """A store with NOTE and its mention 'Pain', a problem."""
    submit(store, documents(NOTE))
    work_off(store, 1)
    return store


def test_a_correction_is_read_back_as_it_was_made(corrected: Store, queries: Queries) -> None:
    fix = correction(Verdict.FIXED, end=20, assertion=Assertion.POSSIBLE, corrected_by="ada")
    corrected.correct(SHA, [fix])
    (stored,) = queries.corrections_of(SHA)
    assert stored.corrected_at is not None
    assert stored.model_copy(update={"corrected_at": None}) == fix


def test_a_second_verdict_replaces_the_first(corrected: Store, queries: Queries) -> None:
    for verdict in (Verdict.ACCEPTED, Verdict.REJECTED):
        corrected.correct(SHA, [correction(verdict)])
    assert [stored.verdict for stored in queries.corrections_of(SHA)] == [Verdict.REJECTED]
    assert corrected.withdraw_correction(SHA, PAIN)
    assert not corrected.withdraw_correction(SHA, PAIN)
    assert queries.corrections_of(SHA) == []


@pytest.mark.parametrize("end", [len(NOTE) + 1, 10_000])
def test_a_correction_outside_the_text_refuses_the_whole_batch(
    corrected: Store, queries: Queries, end: int
) -> None:
    with pytest.raises(NotInTextError, match="not in the text"):
        corrected.correct(SHA, [correction(Verdict.ACCEPTED), correction(Verdict.FIXED, end=end)])
    with pytest.raises(NotInTextError, match="no such text"):
        corrected.correct("0" * 64, [correction(Verdict.ACCEPTED)])
    assert queries.corrections_of(SHA) == []


def test_a_corrected_note_becomes_a_training_record(corrected: Store, queries: Queries) -> None:
    corrected.correct(SHA, [correction(Verdict.REJECTED), correction(Verdict.ADDED, ASPIRIN)])
    (note,) = queries.annotated_notes()
    assert (note["id"], note["text"], note["is_complete"]) == ("note-0", NOTE, True)
    (entity,) = note["entities"]
    assert (entity["text"], entity["label"], entity["verdict"]) == ("Aspirin", "medication", "added")
    assert NOTE[entity["start"] : entity["end"]] == "Aspirin"
    assert [entity["text"] for entity in note["rejected"]] == ["Pain"]


def test_a_note_with_an_unreviewed_mention_is_not_complete(corrected: Store, queries: Queries) -> None:
    corrected.correct(SHA, [correction(Verdict.ADDED, ASPIRIN)])
    (note,) = queries.annotated_notes()
    assert not note["is_complete"]
    assert [entity["verdict"] for entity in note["entities"]] == ["", "added"]


def test_a_correction_outlives_the_recipe_it_was_made_on(corrected: Store, queries: Queries) -> None:
    corrected.correct(SHA, [correction(Verdict.ACCEPTED)])
    other = a_serving(entities="other words")
    submit(corrected, documents(NOTE), serving=other)
    (job,) = claimed(corrected, 1, serving_id=other.id).jobs
    record(corrected, job, finished(job, NOTE))
    (note,) = queries.annotated_notes()
    assert [entity["verdict"] for entity in note["entities"]] == ["accepted"]


def test_a_detected_mention_that_equals_a_fixed_one_needs_no_second_review() -> None:
    fix = correction(Verdict.FIXED, end=20)
    detected = {"start": 0, "end": 20, "label": "problem", "assertion": "present", "attributes": []}
    (shown,) = with_verdicts([detected], [fix])
    assert (shown["verdict"], shown["found"]) == ("fixed", PAIN)


def test_deleting_a_text_deletes_its_corrections(corrected: Store, queries: Queries, engine: Engine) -> None:
    corrected.correct(SHA, [correction(Verdict.ACCEPTED)])
    with write_transaction(engine) as connection:
        connection.execute(text("DELETE FROM texts"))
    assert queries.corrections_of(SHA) == []
