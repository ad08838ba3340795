"""The worked questions of docs/reference/sql.md: each runs on both databases, by index where possible."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import making
import pytest
from exported import ODD, PLAIN, answer_all
from postgres_server import database_url, execute
from sqlalchemy import Engine, text
from workshop import ROOT

from models.answers import (
    Assertion,
    EntitiesAnswer,
    Entity,
    Flag,
    SearchAnswer,
    Span,
    Summary,
    SummaryAnswer,
    SummarySentence,
    Task,
)
from models.documents import Document
from models.jobs import Job
from models.outcomes import Failed, Finished, Reason
from models.queries.readonly_sql import run_select
from models.schema.database import connect, read_transaction
from models.store.store import Store

PAGE = (ROOT / "docs" / "reference" / "sql.md").read_text("utf-8")
QUESTIONS = re.findall(r"```sql\n(.*?);\n```", PAGE, re.DOTALL)
NEGATED_NOTE = "No pain. Pain in the left arm. Ibuprofen."


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A store whose notes have every assertion, a flagged summary, an empty answer and a failure."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("questions") / "notemill.db"
        shutil.copyfile(request.getfixturevalue("_sqlite_template"), path)
        url = f"sqlite:///{path}"
    else:
        server = request.getfixturevalue("_postgres_with_template")
        execute(server, "CREATE DATABASE questions TEMPLATE with_tables")
        url = database_url(server, "questions")
    engine = connect(url)
    _fill(Store(engine))
    yield engine
    engine.dispose()


def _fill(store: Store) -> None:
    about = {"patient": 12, "date": "2024-05-06"}
    texts = {"odd": ODD, "plain": PLAIN, "denied": NEGATED_NOTE, "long": "Too long.", "none": "Nothing."}
    notes = [Document(external_id=name, text=text, metadata=about) for name, text in texts.items()]
    making.submit(store, notes, making.QUESTIONS)
    answer_all(store, 1, ODD)
    answer_all(store, 2, PLAIN)
    for job in making.claimed(store, 3).jobs:
        making.record(store, job, _flagged(job))
    for job in making.claimed(store, 4).jobs:
        making.record(store, job, Failed(reason=Reason.TOO_LONG))
    for job in making.claimed(store, 5).jobs:
        nothing = making.finished(job, "Nothing.")
        if job.question.task is Task.SEARCH:
            nothing = nothing.model_copy(update={"answer": SearchAnswer(passages=())})
        making.record(store, job, nothing)


def _flagged(job: Job) -> Finished:
    whole = Span(start=0, end=len(NEGATED_NOTE))
    answer: Any = making.finished(job, NEGATED_NOTE).answer
    if job.question.task is Task.ENTITIES:
        negated = Entity(start=3, end=7, text="pain", label="problem", assertion=Assertion.NEGATED)
        present = Entity(start=9, end=13, text="Pain", label="problem", probability=0.4)
        answer = EntitiesAnswer(
            entities=(negated, present, Entity(start=31, end=40, text="Ibuprofen", label="medication"))
        )
    if job.question.task is Task.SUMMARY:
        sentence = SummarySentence(
            section="Course", text="200 mg.", sources=(whole,), flags=(Flag.NUMBER_NOT_IN_NOTE,)
        )
        answer = SummaryAnswer(
            summary=Summary(title="Arm", text="Arm\n200 mg.", sections=(), sentences=(sentence,))
        )
    return Finished(answer=answer, ranges_read=(whole,), duration_seconds=2.0, prompt_tokens=100)


@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_a_worked_question_returns_rows(archive: Engine, number: int) -> None:
    names, rows, _ = run_select(archive, QUESTIONS[number], 100)
    assert names
    assert rows != [], QUESTIONS[number]


def test_the_page_has_at_least_twenty_questions() -> None:
    assert len(QUESTIONS) >= 20


def test_active_medications_are_listed_by_patient_with_dosage_and_frequency(archive: Engine) -> None:
    (question,) = [
        query for query in QUESTIONS if "GROUP BY d.patient, lower(e.text)" in query and "dosage" in query
    ]
    _, rows, _ = run_select(archive, question, 100)
    assert [tuple(row)[:4] for row in rows] == [
        ("12", "aspirin", "100 mg", "daily"),
        ("12", "ibuprofen", None, None),
    ]


INDEXED = {
    "label = 'problem' AND text = 'sepsis'": ("ix_entities_label_text_assertion",) * 2,
    "label = 'problem' AND assertion = 'possible'": ("ix_entities_label_assertion_job_id",) * 2,
    "label = 'medication' AND assertion = 'present' AND dosage IS NULL": (
        *("ix_entities_label_assertion_job_id", "ix_entities_label_assertion_job_id"),
    ),
    "external_id = 'odd'": ("sqlite_autoindex_documents_1", "uq_documents_external_id_text_sha256"),
    "document_id = 3": ("INTEGER PRIMARY KEY (rowid=?)", "pk_documents"),
}


@pytest.mark.parametrize("condition", INDEXED)
def test_explain_shows_that_an_index_is_used(archive: Engine, condition: str) -> None:
    is_sqlite = archive.dialect.name == "sqlite"
    explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    with read_transaction(archive) as connection:
        for method in () if is_sqlite else ("seqscan", "bitmapscan"):
            connection.execute(text(f"SET LOCAL enable_{method} = off"))
        asked = text(f"{explain} SELECT external_id FROM v_entities WHERE {condition} AND is_newest")
        plan = "\n".join(str(row[-1]) for row in connection.execute(asked))
    assert INDEXED[condition][0 if is_sqlite else 1] in plan, plan
    assert "Seq Scan" not in plan
    assert not re.search(r"SCAN \w+$", plan, re.MULTILINE), plan
