"""The views: docs/reference/sql.md documents every column, and its example queries return rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from making import (
    ENTITIES,
    NOTE,
    QUESTIONS,
    SEARCH,
    a_serving,
    claimed,
    documents,
    finished,
    record,
    submit,
    work_off,
)
from sqlalchemy import Engine, inspect, text

from models.answers import (
    Assertion,
    Attribute,
    EntitiesAnswer,
    Entity,
    Flag,
    SearchAnswer,
    Span,
    Summary,
    SummaryAnswer,
    SummarySentence,
)
from models.outcomes import Failed, Finished, Reason
from models.schema import views
from models.schema.database import read_transaction, write_transaction
from models.store.store import Store

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "sql.md").read_text("utf-8")
WARD = "No pain. Pain in the left arm. Aspirin 100 mg daily."


def _rows(engine: Engine, statement: str) -> list[dict[str, Any]]:
    with read_transaction(engine) as connection:
        return [dict(row) for row in connection.execute(text(statement)).mappings()]


def _documented(view: str) -> set[str]:
    common = re.findall(r"^\| `(\w+)` \|", PAGE.partition("### v_documents")[0], re.MULTILINE)
    section = re.search(rf"### {view}\n(.*?)(?:\n##|\Z)", PAGE, re.DOTALL)
    assert section is not None, f"docs/reference/sql.md has no section {view}"
    cells = re.findall(r"^\| (`.*?`) \|", section.group(1), re.MULTILINE)
    own = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    if view.startswith(("v_run_", "v_corrections")):
        return own
    return own | set(common) - ({"job_id"} if view == "v_documents" else set())


@pytest.fixture
def ward(store: Store) -> None:
    """Three notes: one with answers, one that failed, one with empty answers."""
    submit(store, documents(WARD, "Too long.", "Nothing."), QUESTIONS)
    whole = (Span(start=0, end=len(WARD)),)
    for job, answer in zip(claimed(store, 1).jobs, _ward_answers(), strict=True):
        record(
            store, job, Finished(answer=answer, ranges_read=whole, duration_seconds=2.0, prompt_tokens=100)
        )
    for job in claimed(store, 2).jobs:
        record(store, job, Failed(reason=Reason.TOO_LONG, detail="9000 tokens"))
    nothing, read = SearchAnswer(passages=()), (Span(start=0, end=8),)
    record(store, claimed(store, 3).jobs[1], Finished(answer=nothing, ranges_read=read, duration_seconds=1.0))


def _ward_answers() -> tuple[EntitiesAnswer, SearchAnswer, SummaryAnswer]:
    dose = Attribute(start=39, end=45, text="100 mg", kind="dosage")
    entities = (
        Entity(start=3, end=7, text="pain", label="problem", assertion=Assertion.NEGATED),
        Entity(start=9, end=13, text="Pain", label="problem", probability=0.9),
        Entity(start=31, end=38, text="Aspirin", label="medication", attributes=(dose,)),
    )
    passages = ({"start": 9, "end": 30, "text": WARD[9:30], "score": 0.8},)
    flagged = SummarySentence(
        section="Medications",
        text="200 mg.",
        sources=(Span(start=31, end=52),),
        flags=(Flag.NUMBER_NOT_IN_NOTE,),
    )
    summary = Summary(title="Arm", text="Arm\n200 mg.", sections=(), sentences=(flagged,))
    return (
        EntitiesAnswer(entities=entities),
        SearchAnswer.model_validate({"passages": passages}),
        SummaryAnswer(summary=summary),
    )


@pytest.mark.parametrize("view", views.VIEW_NAMES)
def test_every_column_of_a_view_is_documented_and_no_other(engine: Engine, view: str) -> None:
    columns = {column["name"] for column in inspect(engine).get_columns(view)}
    assert columns == _documented(view)


@pytest.mark.usefixtures("ward")
def test_v_entities_shows_entities_with_their_attributes(engine: Engine) -> None:
    rows = _rows(
        engine, "SELECT text, assertion, dosage, route, probability FROM v_entities ORDER BY position"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("pain", "negated", None, None, None),
        ("Pain", "present", None, None, 0.9),
        ("Aspirin", "present", "100 mg", None, None),
    ]


@pytest.mark.usefixtures("ward")
def test_v_summary_sources_quotes_the_note(engine: Engine) -> None:
    (row,) = _rows(engine, "SELECT flags, source_text FROM v_summary_sources")
    assert row == {"flags": "number_not_in_note", "source_text": "Aspirin 100 mg daily."}


def test_source_texts_are_sliced_by_characters_not_bytes(store: Store, engine: Engine) -> None:
    submit(store, documents("😀é患 pain"), QUESTIONS)
    work_off(store, 1)
    (row,) = _rows(engine, "SELECT source_text FROM v_summary_sources")
    assert row["source_text"] == "😀é患"


@pytest.mark.usefixtures("ward")
def test_v_jobs_and_v_run_progress_count_the_same(engine: Engine) -> None:
    (run,) = _rows(engine, "SELECT * FROM v_run_progress")
    jobs = [row["status"] for row in _rows(engine, "SELECT status FROM v_jobs")]
    statuses = ("pending", "running", "finished", "failed", "cancelled")
    assert {status: run[status] for status in statuses} == {name: jobs.count(name) for name in statuses}
    assert (run["jobs"], run["documents"], run["finished_before"]) == (9, 3, 0)


def test_documents_of_equal_text_are_both_shown_and_share_one_job(store: Store, engine: Engine) -> None:
    submit(store, documents(NOTE, NOTE))
    work_off(store, 1)
    rows = _rows(engine, "SELECT external_id FROM v_entities ORDER BY external_id")
    assert [row["external_id"] for row in rows] == ["note-0", "note-1"]
    assert _rows(engine, "SELECT jobs FROM v_run_progress") == [{"jobs": 1}]


def test_the_newest_answer_is_that_of_the_newest_recipe_and_version(store: Store, engine: Engine) -> None:
    changed = a_serving(entities="new words")
    for texts, serving in (("old",), a_serving()), (("new",), a_serving()), (("new",), changed):
        _, registered = submit(store, documents(*texts), [ENTITIES, SEARCH], serving)
        work = claimed(store, registered.owed_document_ids[0], serving_id=serving.id)
        for job in work.jobs:
            record(store, job, finished(job, work.text))
    rows = _rows(engine, "SELECT text, is_newest FROM v_entities ORDER BY job_id")
    assert [(row["text"], bool(row["is_newest"])) for row in rows] == [
        ("old", False),
        ("new", False),
        ("new", True),
    ]


def test_deleting_a_text_deletes_its_jobs_and_answers(store: Store, engine: Engine) -> None:
    submit(store, documents(WARD), QUESTIONS)
    work_off(store, 1)
    statement = re.search(r"^    (DELETE .*);$", PAGE, re.MULTILINE)
    assert statement is not None
    with write_transaction(engine) as connection:
        connection.execute(text(statement.group(1).replace("note-17", "note-0")))
    tables = ("texts", "documents", "jobs", "run_jobs", "attempts", "entities", "passages", "summary_sources")
    assert [_rows(engine, f"SELECT COUNT(*) AS n FROM {table}") for table in tables] == [[{"n": 0}]] * 8


def test_v_coverage_covers_each_note_and_says_why_a_range_is_unread(store: Store, engine: Engine) -> None:
    text = "  Pain.\n\nNo fever. \n"
    submit(store, documents(text, "Not yet."), QUESTIONS[1:2])
    (job,) = claimed(store, 1).jobs
    ranges = (Span(start=2, end=7), Span(start=9, end=18))
    assert record(store, job, finished(job, text).model_copy(update={"ranges_read": ranges}))
    rows = _rows(
        engine,
        "SELECT document_id, span_start, span_end, is_read, reason FROM v_coverage ORDER BY 1, 2",
    )
    gaps = [(1, 0, 2), (1, 7, 9), (1, 18, 20)]
    expected = [(*gap, False, "white_space") for gap in gaps]
    expected += [(1, 2, 7, True, None), (1, 9, 18, True, None), (2, 0, 8, False, "pending")]
    assert sorted(tuple(row.values()) for row in rows) == sorted(expected, key=lambda row: row[:3])
