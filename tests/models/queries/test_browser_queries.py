"""Browser pages: pagination neither skips nor repeats documents, and filters match."""

from __future__ import annotations

import pytest
from making import NOTE, QUESTIONS, a_serving, claimed, documents, record, submit, work_off
from sqlalchemy import Engine
from view_notes import QUERY, SEARCH, WARD, fill

from models.corrections import Correction, MentionKey, Verdict
from models.documents import Document, text_sha256
from models.outcomes import Failed, Reason
from models.queries.browser.browser_queries import BrowserQueries
from models.queries.browser.document_list import DocumentFilter
from models.store.store import Store


@pytest.fixture
def browsing(engine: Engine) -> BrowserQueries:
    return BrowserQueries(engine)


def ids(browsing: BrowserQueries, **criteria: object) -> list[int]:
    return [line.id for line in browsing.documents(DocumentFilter(**criteria), limit=50).documents]  # type: ignore[arg-type]


def test_pages_in_both_directions_have_each_document_once(store: Store, browsing: BrowserQueries) -> None:
    submit(store, documents(*map(str, range(25))))
    forth, before = [], None
    while True:
        page = browsing.documents(DocumentFilter(), limit=7, before=before)
        forth += [line.id for line in page.documents]
        before = forth[-1]
        if not page.has_older:
            break
    assert forth == list(range(25, 0, -1))
    back = browsing.documents(DocumentFilter(), limit=7, after=forth[7])
    assert ([line.id for line in back.documents], back.has_newer) == (forth[:7], False)


def test_a_filter_returns_matching_documents_only(store: Store, browsing: BrowserQueries) -> None:
    fill(store)
    correction = {"found": MentionKey(0, 5, "x"), "start": 0, "end": 5, "label": "x"}
    store.correct(text_sha256(WARD), [Correction(verdict=Verdict.ADDED, **correction)])  # type: ignore[arg-type]
    assert ids(browsing, run=1) == [4, 3, 2, 1]
    assert ids(browsing, run=2) == []
    assert ids(browsing, id_contains="<U>") == [2]
    assert ids(browsing, id_contains="%") == []
    assert ids(browsing, mentions="ASPIR") == [1]
    assert ids(browsing, label="problem") == [2, 1]
    assert ids(browsing, label="problem", assertion="negated") == [1]
    assert ids(browsing, label="medication", assertion="negated") == []
    assert ids(browsing, status="failed") == ids(browsing, reason="timed_out") == [3]
    assert ids(browsing, reason="too_long") == []
    assert ids(browsing, status="pending") == [4]
    assert ids(browsing, is_flagged=True) == [2, 1]
    assert ids(browsing, is_corrected=True) == [1]


def test_a_line_counts_entities_and_flagged_sentences(store: Store, browsing: BrowserQueries) -> None:
    fill(store)
    waiting, failing, _, ward = browsing.documents(DocumentFilter(), limit=9).documents
    assert (ward.title, ward.entities, ward.flagged_sentences, ward.corrections) == ("<b>Pain</b>", 3, 1, 0)
    assert ward.characters == len(WARD)
    assert (failing.statuses, waiting.statuses) == ({"failed": 3}, {"pending": 3})


def test_an_older_version_of_a_note_is_shown_as_superseded(store: Store, browsing: BrowserQueries) -> None:
    for text in ("first", "second"):
        submit(store, [Document(external_id="same", text=text)])
    newer, older = browsing.documents(DocumentFilter(), limit=9).documents
    assert (newer.is_superseded, older.is_superseded) == (False, True)
    assert (browsing.newer_version(older.id), browsing.newer_version(newer.id)) == (newer.id, None)


def test_failures_are_counted_by_task_and_reason(store: Store, browsing: BrowserQueries) -> None:
    fill(store)
    groups = {(group.task.value, group.reason.value, group.jobs) for group in browsing.failures()}
    assert groups == {(task, "timed_out", 1) for task in ("entities", "search", "summary")}
    run_id, _ = submit(store, documents("another"))
    record(store, claimed(store, 5).jobs[0], Failed(reason=Reason.TOO_LONG))
    assert [group.reason for group in browsing.failures(run_id)] == [Reason.TOO_LONG]


def test_passages_are_the_best_of_each_note_under_the_newest_answer(
    store: Store, browsing: BrowserQueries
) -> None:
    fill(store)
    assert browsing.searches() == [QUERY]
    lines, has_more = browsing.passages(SEARCH.parameters_sha256, limit=1)
    assert ([line.document_id for line in lines], has_more) == ([2], True)
    lines, has_more = browsing.passages(SEARCH.parameters_sha256, limit=1, before=2)
    assert ([line.text for line in lines], has_more) == (["Pain"], False)
    other = a_serving(search="other words")
    submit(store, [Document(external_id="ward", text=WARD)], [SEARCH], serving=other)
    work = claimed(store, 1, serving_id=other.id)
    record(store, work.jobs[0], Failed(reason=Reason.TOO_LONG))
    assert len(browsing.passages(SEARCH.parameters_sha256, limit=9)[0]) == 2


def test_labels_come_from_the_recipes(store: Store, browsing: BrowserQueries) -> None:
    assert browsing.labels() == []
    submit(store, documents(NOTE), QUESTIONS)
    work_off(store, 1)
    assert browsing.labels() == ["problem"]
    assert browsing.run_numbers(5) == [1]


def test_a_document_is_found_by_its_id(store: Store, browsing: BrowserQueries) -> None:
    submit(store, [Document(external_id="#2", text="one"), Document(external_id="b", text="two")])
    document = browsing.document(2)
    assert document is not None
    assert document.external_id == "b"
    assert browsing.document(3) is None
