"""Reads: results as JSON, progress, documents."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from making import (
    ENTITIES,
    NOTE,
    QUESTIONS,
    SUMMARY,
    a_serving,
    claimed,
    documents,
    record,
    submit,
    work_off,
)

from models.answers import Task
from models.documents import Document
from models.errors import UsageError
from models.jobs import JobStatus
from models.outcomes import Failed, Reason
from models.queries.queries import Queries
from models.store.store import Store

COMMON = [
    *("external_id", "document_id", "run", "task", "parameters", "status", "reason", "detail", "recipe"),
    *("created_at", "finished_at", "duration_seconds", "ranges_read"),
]


def test_a_result_is_the_documented_json_object(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents(NOTE), QUESTIONS)
    work_off(store, 1)
    results = {result["task"]: result for result in queries.results(run_id=run_id)}
    parts = {"entities": "entities", "search": "passages", "summary": "summary"}
    assert {task: list(result) for task, result in results.items()} == {
        task: [*COMMON, part] for task, part in parts.items()
    }
    assert results["search"]["parameters"] == {"query": "Is there pain?"}
    assert results["entities"]["ranges_read"] == [{"start": 0, "end": len(NOTE)}]
    assert json.loads(json.dumps(results)) == results


def test_a_job_without_an_answer_has_no_answer_in_its_result(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents(NOTE), [ENTITIES, SUMMARY])
    failed, _ = claimed(store, 1).jobs
    record(store, failed, Failed(reason=Reason.TOO_LONG, detail="9000 tokens"))
    first, second = queries.results(run_id=run_id)
    assert list(first) == list(second) == COMMON
    assert (first["status"], first["reason"], first["detail"]) == ("failed", "too_long", "9000 tokens")
    assert (second["status"], second["reason"], second["finished_at"]) == ("running", None, None)


def test_times_are_in_utc_with_their_offset(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents(NOTE))
    work_off(store, 1)
    result = next(queries.results(run_id=run_id))
    ages = [
        datetime.now(UTC) - datetime.fromisoformat(result[name]) for name in ("created_at", "finished_at")
    ]
    assert all(timedelta(seconds=-1) < age < timedelta(minutes=1) for age in ages)
    assert result["finished_at"].endswith("+00:00")


def test_results_can_be_filtered_by_task_and_status(store: Store, queries: Queries) -> None:
    submit(store, documents("one", "two"), QUESTIONS)
    work_off(store, 1)
    assert len(list(queries.results())) == 6
    assert len(list(queries.results(task=Task.SEARCH))) == 2
    only = list(queries.results(task=Task.SEARCH, status=JobStatus.PENDING))
    assert [result["external_id"] for result in only] == ["note-1"]


def test_without_a_run_each_job_shows_once_under_its_last_run(store: Store, queries: Queries) -> None:
    first, _ = submit(store, documents("one", "two"))
    second, _ = submit(store, documents("one"))
    assert [result["run"] for result in queries.results()] == [second, first]
    assert [result["run"] for result in queries.results(run_id=first)] == [first, first]


def test_results_of_a_missing_run_are_a_usage_error(queries: Queries) -> None:
    for ask in (queries.run_progress, lambda run_id: queries.results(run_id=run_id)):
        with pytest.raises(UsageError, match="no run 7"):
            ask(7)


def test_the_answers_of_a_document_come_newest_recipe_first(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents(NOTE))
    work_off(store, 1)
    submit(store, documents(NOTE), serving=a_serving(entities="new words"))
    answers = queries.answers_of(1)
    assert [answer["status"] for answer in answers] == ["pending", "finished"]
    assert [answer["run"] for answer in queries.answers_of(1, run_id)] == [run_id]


def test_a_document_is_found_by_its_id_and_by_its_number(store: Store, queries: Queries) -> None:
    odd = Document(external_id="#2", text="odd", source="notes/a.txt", metadata={"ward": "7", "n": [1, None]})
    submit(store, [*documents(NOTE), odd])
    assert queries.document("nobody") is None
    assert queries.document("#99") is None
    document, by_number = queries.document("#2"), queries.document("#1")
    assert document is not None
    assert by_number is not None
    assert (document.text, document.source, document.metadata) == (
        "odd",
        "notes/a.txt",
        {"ward": "7", "n": [1, None]},
    )
    assert (by_number.external_id, by_number.text) == ("note-0", NOTE)


def test_progress_counts_by_status_task_and_reason(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents("one", "two"), QUESTIONS)
    work_off(store, 1)
    record(store, claimed(store, 2).jobs[0], Failed(reason=Reason.TIMED_OUT))
    progress = queries.run_progress(run_id)
    assert (progress.total, progress.finished, progress.failed, progress.running) == (6, 3, 1, 2)
    assert progress.by_task[Task.ENTITIES][JobStatus.FAILED] == 1
    assert progress.reasons == {"timed_out": 1}
    assert (progress.documents, progress.refused, progress.is_closed, progress.is_done) == (2, 0, True, False)
    assert progress.created_at <= (progress.first_started_at or progress.created_at)
    assert queries.latest_run_id() == run_id


def test_runs_are_listed_newest_first(store: Store, queries: Queries) -> None:
    assert queries.runs(9) == []
    ids = [submit(store, documents(NOTE))[0] for _ in range(3)]
    assert [progress.run_id for progress in queries.runs(2)] == ids[:0:-1]
    assert [progress.total for progress in queries.runs(9)] == [1, 1, 1]


def test_a_run_without_a_document_has_zero_counts(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, [])
    progress = queries.run_progress(run_id)
    assert (progress.total, progress.documents, progress.is_done) == (0, 0, True)


def test_counts_are_those_of_stored_rows(store: Store, queries: Queries) -> None:
    submit(store, documents(NOTE, NOTE, "other"), QUESTIONS)
    work_off(store, 3)
    jobs = {"pending": 3, "running": 0, "finished": 3, "failed": 0, "cancelled": 0}
    assert queries.counts() == {"documents": 3, "texts": 2, "runs": 1, "jobs": jobs}


def test_memory_does_not_grow_with_the_number_of_results(store: Store, queries: Queries) -> None:
    for batch in range(4):
        submit(store, documents(*(f"{batch} {number}" for number in range(500)), prefix=f"b{batch}"))
    peaks = [_peak_bytes(queries, count) for count in (501, 2000)]
    assert peaks[1] < 1.3 * peaks[0]


def _peak_bytes(queries: Queries, count: int) -> int:
    stream = queries.results()
    tracemalloc.start()
    for _ in range(count):
        next(stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak
