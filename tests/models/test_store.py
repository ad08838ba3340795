"""The contracts of the store, each on SQLite and on PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest
from making import (
    ENTITIES,
    NOTE,
    QUESTIONS,
    SEARCH,
    SUMMARY,
    a_serving,
    claim,
    claimed,
    documents,
    finished,
    recipes_of,
    record,
    submit,
    work_off,
)
from sqlalchemy import Engine, event, text

from models.answers import EntitiesAnswer, Entity, Passage, SearchAnswer, Span, Task
from models.documents import Document
from models.errors import UsageError
from models.jobs import Job, Question
from models.labels import Label
from models.outcomes import Failed, Finished, Reason
from models.queries.queries import Queries
from models.schema.database import read_transaction, write_transaction
from models.store.answer_validation import InvalidAnswerError
from models.store.store import Store
from models.usage import Usage

CRASHED = Failed(reason=Reason.CRASHED, detail="ValueError", duration_seconds=0.5)


def crash(store: Store, jobs: Sequence[Job], wait_seconds: float = 0) -> int:
    return store.requeue(jobs, detail="ValueError", wait_seconds=wait_seconds, max_attempts=3)


def statements_for(store: Store, engine: Engine, notes: Sequence[str]) -> set[str]:
    """Returns the statements that a worker sends to claim and answer these notes."""
    sent: set[str] = set()
    _, registered = submit(store, documents(*notes), QUESTIONS)

    def see(_connection: Any, _cursor: Any, words: str, *_more: Any) -> None:
        sent.add(words)

    event.listen(engine, "before_cursor_execute", see)
    store.mark_enqueued(registered.owed_document_ids)
    taken = store.claim(
        registered.owed_document_ids,
        worker="worker",
        serving_id=a_serving().id,
        lease_seconds=60.0,
        max_kills=3,
    )
    ended = [(job, finished(job, work.text)) for work in taken if work for job in work.jobs]
    assert store.record(ended) == [True] * 3 * len(notes)
    store.add_usage(Usage(prefill_seconds=1.0), [job.id for job, _ in ended])
    event.remove(engine, "before_cursor_execute", see)
    return sent


def test_a_worker_sends_the_same_statements_however_many_notes_it_has(store: Store, engine: Engine) -> None:
    """Drivers keep each distinct statement prepared: a statement per job grew a worker by 100 bytes a job."""
    few = statements_for(store, engine, ["Fever one.", "Fever two."])
    assert len(few) > 10
    assert statements_for(store, engine, [f"Pain {number}." for number in range(7)]) == few


def test_a_registered_document_is_owed_and_can_be_claimed(store: Store, queries: Queries) -> None:
    _, registered = submit(store, documents(NOTE), QUESTIONS)
    assert (registered.documents, registered.new_jobs, registered.known_jobs) == (1, 3, 0)
    assert queries.owed_documents(older_than_seconds=0, limit=9) == list(registered.owed_document_ids)
    work = claimed(store, registered.owed_document_ids[0])
    assert work.text == NOTE
    assert {job.question.task: job.question for job in work.jobs} == {q.task: q for q in QUESTIONS}


def test_entities_jobs_carry_their_labels(store: Store) -> None:
    labels = (Label(name="drug", definition="what is given"), Label(name="dose", definition="how much"))
    _, registered = submit(store, documents(NOTE), [ENTITIES, SUMMARY], labels=labels)
    jobs = claimed(store, registered.owed_document_ids[0]).jobs
    assert {job.question.task: job.labels for job in jobs} == {Task.ENTITIES: labels, Task.SUMMARY: ()}


def test_two_queries_are_two_jobs(store: Store) -> None:
    other = Question(task=Task.SEARCH, parameters={"query": "Is there fever?"})
    _, registered = submit(store, documents(NOTE), [SEARCH, other])
    assert registered.new_jobs == 2
    queries = {job.question.parameters["query"] for job in claimed(store, 1).jobs}
    assert queries == {"Is there pain?", "Is there fever?"}


def test_registering_the_same_batch_in_the_same_run_changes_nothing(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents("one", "two"))
    again = store.register(run_id, documents("one", "two"), [ENTITIES], recipes_of(a_serving()))
    assert (again.documents, again.new_jobs, again.known_jobs) == (0, 0, 2)
    assert queries.run_progress(run_id).documents == queries.run_progress(run_id).total == 2


def test_a_second_run_over_finished_documents_owes_nothing(store: Store, queries: Queries) -> None:
    submit(store, documents(NOTE), QUESTIONS)
    work_off(store, 1)
    run_id, registered = submit(store, documents(NOTE), QUESTIONS)
    assert (registered.new_jobs, registered.known_jobs, registered.owed_document_ids) == (0, 3, ())
    assert queries.run_progress(run_id).finished_before == 3


def test_an_added_task_creates_only_its_own_jobs(store: Store) -> None:
    submit(store, documents(NOTE), [ENTITIES])
    work_off(store, 1)
    _, registered = submit(store, documents(NOTE), [ENTITIES, SUMMARY])
    assert (registered.new_jobs, registered.known_jobs) == (1, 1)
    assert [job.question for job in claimed(store, 1).jobs] == [SUMMARY]


def test_a_changed_prompt_creates_jobs_for_its_task_only(store: Store, queries: Queries) -> None:
    submit(store, documents(NOTE), QUESTIONS)
    work_off(store, 1)
    _, registered = submit(store, documents(NOTE), QUESTIONS, serving=a_serving(summary="other words"))
    assert (registered.new_jobs, registered.known_jobs) == (1, 2)
    assert len(list(queries.results(task=Task.SUMMARY))) == 2


def test_a_worker_claims_jobs_of_another_serving_with_the_same_prompt(store: Store) -> None:
    submit(store, documents(NOTE), QUESTIONS)
    changed = a_serving(summary="other words")
    store.announce(changed)
    tasks = {job.question.task for job in claimed(store, 1, serving_id=changed.id).jobs}
    assert tasks == {Task.ENTITIES, Task.SEARCH}


def test_a_worker_of_other_weights_claims_nothing(store: Store, queries: Queries) -> None:
    submit(store, documents(NOTE), QUESTIONS)
    other = a_serving(weights="large")
    store.announce(other)
    assert claim(store, 1, serving_id=other.id) is None
    assert queries.owed_documents(serving_id=other.id, older_than_seconds=0, limit=9) == []


def test_documents_of_equal_text_share_a_job_and_both_have_results(store: Store, queries: Queries) -> None:
    run_id, registered = submit(store, documents(NOTE, NOTE))
    assert (registered.documents, registered.new_jobs) == (2, 1)
    assert len(registered.owed_document_ids) == 1
    work_off(store, registered.owed_document_ids[0])
    results = list(queries.results(run_id=run_id))
    assert [result["external_id"] for result in results] == ["note-0", "note-1"]
    assert results[0]["entities"] == results[1]["entities"] != []


def test_a_repeated_record_counts_once(store: Store) -> None:
    _, registered = submit(store, documents(NOTE) * 3)
    assert (registered.documents, registered.new_jobs, registered.refused) == (1, 1, ())


@pytest.mark.parametrize("batches", [1, 2])
def test_an_id_with_other_text_in_the_same_run_is_refused(store: Store, batches: int) -> None:
    first, second = (
        Document(external_id="a", text=text, source="f", line=line) for line, text in enumerate("xy")
    )
    run_id, registered = submit(store, [first, second] if batches == 1 else [first])
    if batches == 2:
        registered = store.register(run_id, [second], [ENTITIES], recipes_of(a_serving()))
    assert [(r.external_id, r.line, r.reason) for r in registered.refused] == [
        ("a", 1, "duplicate id with other text")
    ]


def test_an_id_with_other_text_in_another_run_is_a_new_version(store: Store, queries: Queries) -> None:
    submit(store, documents("old"))
    _, registered = submit(store, documents("new"))
    assert (registered.documents, registered.new_jobs, registered.refused) == (1, 1, ())
    newest = queries.document("note-0")
    assert newest is not None
    assert newest.text == "new"


def test_a_claimed_job_cannot_be_claimed_again(store: Store, queries: Queries) -> None:
    submit(store, documents(NOTE))
    claimed(store, 1, "one")
    assert claim(store, 1, "two") is None
    assert queries.owed_documents(older_than_seconds=0, limit=9) == []


def test_a_dead_workers_job_goes_to_the_next_worker_and_its_late_answer_is_refused(store: Store) -> None:
    submit(store, documents(NOTE))
    dead = claimed(store, 1, "dead", lease_seconds=-1).jobs[0]
    alive = claimed(store, 1, "alive").jobs[0]
    assert (dead.attempt, alive.attempt) == (1, 2)
    assert not record(store, dead, finished(dead, NOTE))
    assert record(store, alive, finished(alive, NOTE))
    assert not record(store, alive, finished(alive, NOTE))


def test_a_job_with_an_expired_lease_is_owed(store: Store, queries: Queries) -> None:
    submit(store, documents(NOTE))
    claimed(store, 1, lease_seconds=-1)
    assert queries.owed_documents(older_than_seconds=0, limit=9) == [1]


def test_a_worker_that_renews_keeps_its_jobs(store: Store) -> None:
    submit(store, documents(NOTE), QUESTIONS)
    claimed(store, 1, "slow", lease_seconds=-1)
    assert store.renew("slow", 60) == 3
    assert store.renew("other", 60) == 0
    assert claim(store, 1, "other") is None


def test_a_late_answer_is_accepted_while_nobody_else_has_claimed(store: Store) -> None:
    submit(store, documents(NOTE))
    job = claimed(store, 1, lease_seconds=-1).jobs[0]
    assert record(store, job, finished(job, NOTE))


def test_a_job_that_kills_its_workers_fails(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents(NOTE))
    for attempt in (1, 2, 3):
        assert claimed(store, 1, lease_seconds=-1).jobs[0].attempt == attempt
    assert claim(store, 1) is None
    assert queries.run_progress(run_id).reasons == {"killed_worker": 1}
    assert queries.owed_documents(older_than_seconds=0, limit=9) == []


def test_released_jobs_are_owed_and_the_attempt_does_not_count(store: Store) -> None:
    submit(store, documents(NOTE))
    for _ in range(5):
        claimed(store, 1, "stopping")
        assert store.release_claims("stopping") == 1
    job = claimed(store, 1).jobs[0]
    assert job.attempt == 6
    assert record(store, job, finished(job, NOTE))


def test_requeued_jobs_are_owed_at_once_and_the_attempt_counts(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents(NOTE))
    released = [crash(store, claimed(store, 1).jobs) for _ in range(3)]
    assert released == [1, 1, 0]
    assert claim(store, 1) is None
    assert queries.run_progress(run_id).reasons == {"crashed": 1}


def test_a_requeued_job_can_be_delayed(store: Store, queries: Queries) -> None:
    submit(store, documents(NOTE))
    assert crash(store, claimed(store, 1).jobs, wait_seconds=60) == 1
    assert claim(store, 1) is None
    assert queries.owed_documents(older_than_seconds=0, limit=9) == []


def test_a_delayed_job_that_is_cancelled_and_asked_for_again_is_owed_at_once(store: Store) -> None:
    run_id, _ = submit(store, documents(NOTE))
    crash(store, claimed(store, 1).jobs, wait_seconds=60)
    assert store.cancel(run_id) == 1
    submit(store, documents(NOTE))
    work_off(store, 1)


def test_jobs_whose_leases_were_ended_are_owed_at_once(store: Store) -> None:
    submit(store, documents(NOTE), QUESTIONS)
    claimed(store, 1, "dead")
    assert store.expire_leases("dead") == 3
    assert len(claimed(store, 1, "alive").jobs) == 3


def test_requeueing_does_not_touch_jobs_of_a_later_claim(store: Store) -> None:
    submit(store, documents(NOTE))
    late = claimed(store, 1, "late", lease_seconds=-1).jobs
    owner = claimed(store, 1, "owner").jobs[0]
    assert crash(store, late) == 0
    assert record(store, owner, finished(owner, NOTE))


def test_a_late_answer_is_not_counted_as_a_dead_worker(store: Store) -> None:
    submit(store, documents(NOTE))
    for _ in range(4):
        late = claimed(store, 1, "frozen", lease_seconds=-1).jobs[0]
        assert claimed(store, 1, "another", lease_seconds=-1, max_kills=3)
        assert not record(store, late, CRASHED)
        store.release_claims("another")
    for _ in range(2):
        claimed(store, 1, "dead", lease_seconds=-1)
    assert claimed(store, 1, "last", lease_seconds=-1)
    assert claim(store, 1) is None


def test_a_late_answer_is_not_counted_as_an_unexpected_error(store: Store, queries: Queries) -> None:
    submit(store, documents(NOTE))
    for _ in range(3):
        late = claimed(store, 1, "frozen", lease_seconds=-1).jobs[0]
        assert claimed(store, 1, "another")
        assert not record(store, late, CRASHED)
        store.release_claims("another")
    jobs = claimed(store, 1).jobs
    assert store.requeue(jobs, detail="ValueError", max_attempts=2) == len(jobs)


def test_a_job_counts_its_unexpected_errors_and_not_its_dead_workers(store: Store) -> None:
    submit(store, documents(NOTE))
    assert claimed(store, 1, "dies", lease_seconds=-1).jobs[0].unexpected_errors == 0
    crash(store, claimed(store, 1).jobs)
    claimed(store, 1, "stops")
    store.release_claims("stops")
    assert claimed(store, 1, "dies", lease_seconds=-1).jobs[0].unexpected_errors == 1
    assert claimed(store, 1).jobs[0].unexpected_errors == 1


def test_a_failed_job_stays_failed_until_it_is_retried(store: Store, queries: Queries) -> None:
    submit(store, documents(NOTE))
    record(store, claimed(store, 1).jobs[0], CRASHED)
    run_id, registered = submit(store, documents(NOTE))
    assert (registered.known_jobs, registered.owed_document_ids) == (1, ())
    assert store.retry(run_id=run_id, reason=None) == (1,)
    assert queries.run_progress(run_id).pending == 1


def test_a_retried_job_has_all_its_attempts_again(store: Store) -> None:
    submit(store, documents(NOTE))
    for _ in range(3):
        claimed(store, 1, lease_seconds=-1)
    assert claim(store, 1) is None
    store.retry(run_id=None, reason=Reason.KILLED_WORKER)
    assert [claimed(store, 1, lease_seconds=-1).jobs[0].attempt for _ in range(3)] == [4, 5, 6]


def test_a_worker_with_a_claim_from_before_a_retry_cannot_answer(store: Store) -> None:
    submit(store, documents(NOTE))
    old = claimed(store, 1, lease_seconds=-1, max_kills=1).jobs[0]
    assert claim(store, 1, max_kills=1) is None
    store.retry(run_id=None, reason=None)
    new = claimed(store, 1).jobs[0]
    assert not record(store, old, CRASHED)
    assert record(store, new, finished(new, NOTE))


def test_retry_is_limited_to_the_given_run_and_reason(store: Store) -> None:
    first, _ = submit(store, documents("one", prefix="a"))
    submit(store, documents("two", prefix="b"))
    for document_id in (1, 2):
        record(store, claimed(store, document_id).jobs[0], CRASHED)
    assert store.retry(run_id=None, reason=Reason.TOO_LONG) == ()
    assert store.retry(run_id=first, reason=Reason.CRASHED) == (1,)
    assert store.retry(run_id=None, reason=None) == (2,)


def test_cancelling_cancels_pending_jobs_and_lets_running_jobs_finish(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents("one", "two"))
    job = claimed(store, 1).jobs[0]
    assert store.cancel(run_id) == 1
    assert record(store, job, finished(job, "one"))
    progress = queries.run_progress(run_id)
    assert (progress.finished, progress.cancelled, progress.is_cancelled) == (1, 1, True)


def test_a_job_that_another_run_waits_for_is_not_cancelled(store: Store, queries: Queries) -> None:
    first, _ = submit(store, documents(NOTE))
    second, _ = submit(store, documents(NOTE))
    assert store.cancel(first) == 0
    assert store.cancel(second) == 1
    assert queries.owed_documents(older_than_seconds=0, limit=9) == []


def test_a_cancelled_job_is_owed_again_once_a_run_asks_for_it(store: Store) -> None:
    run_id, _ = submit(store, documents(NOTE))
    store.cancel(run_id)
    _, registered = submit(store, documents(NOTE))
    assert (registered.known_jobs, registered.owed_document_ids) == (1, (1,))
    work_off(store, 1)


def test_a_job_released_after_its_run_was_cancelled_is_cancelled(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents(NOTE))
    claimed(store, 1, "stopping")
    assert store.cancel(run_id) == 0
    store.release_claims("stopping")
    assert claim(store, 1) is None
    assert queries.run_progress(run_id).cancelled == 1


def test_cancelling_a_missing_run_is_a_usage_error(store: Store) -> None:
    with pytest.raises(UsageError, match="no run 7"):
        store.cancel(7)


def test_a_recently_enqueued_document_is_not_owed_again(store: Store, queries: Queries) -> None:
    submit(store, documents("one", "two"))
    store.mark_enqueued([1])
    assert queries.owed_documents(older_than_seconds=60, limit=9) == [2]
    time.sleep(0.01)
    assert sorted(queries.owed_documents(older_than_seconds=0, limit=9)) == [1, 2]
    assert len(queries.owed_documents(older_than_seconds=0, limit=1)) == 1


def test_the_last_announced_serving_is_the_current_one(store: Store, queries: Queries) -> None:
    assert queries.current_serving() is None
    for serving in (a_serving(), a_serving(search="new"), a_serving()):
        time.sleep(0.002)
        store.announce(serving)
    assert queries.current_serving() == a_serving()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (
            EntitiesAnswer(entities=(Entity(start=0, end=4, text="Pein", label="problem"),)),
            "not the quoted text",
        ),
        (EntitiesAnswer(entities=(Entity(start=50, end=99, text="x", label="problem"),)), "not in the text"),
        (SearchAnswer(passages=(Passage(start=0, end=4, text="Pain", score=1),)), "an answer to search"),
    ],
)
def test_an_answer_that_is_not_valid_for_its_note_is_not_stored(
    store: Store, queries: Queries, answer: EntitiesAnswer | SearchAnswer, complaint: str
) -> None:
    run_id, _ = submit(store, documents(NOTE))
    job = claimed(store, 1).jobs[0]
    untrue = Finished(answer=answer, ranges_read=(Span(start=0, end=len(NOTE)),), duration_seconds=1)
    with pytest.raises(InvalidAnswerError, match=complaint) as caught:
        record(store, job, untrue)
    assert "Pain" not in str(caught.value)
    assert queries.run_progress(run_id).running == 1


@pytest.mark.parametrize(("ranges", "is_whole"), [([(0, 5), (7, 12)], True), ([(0, 4), (7, 12)], False)])
def test_a_finished_job_has_read_everything_except_white_space(
    store: Store, ranges: list[tuple[int, int]], is_whole: bool
) -> None:
    submit(store, documents("First\n Last.\n"))
    job = claimed(store, 1).jobs[0]
    read = tuple(Span(start=start, end=end) for start, end in ranges)
    outcome = Finished(answer=EntitiesAnswer(entities=()), ranges_read=read, duration_seconds=1)
    if is_whole:
        assert record(store, job, outcome)
    else:
        with pytest.raises(InvalidAnswerError, match=r"\[4, 7\) was never read"):
            record(store, job, outcome)


def test_an_answer_about_a_deleted_note_is_refused(store: Store, engine: Engine) -> None:
    submit(store, documents(NOTE))
    job = claimed(store, 1).jobs[0]
    with write_transaction(engine) as connection:
        connection.execute(text("DELETE FROM texts"))
    assert not record(store, job, finished(job, NOTE))
    assert not record(store, job, CRASHED)


def test_every_attempt_is_kept_with_its_outcome(store: Store, engine: Engine) -> None:
    submit(store, documents(NOTE))
    claimed(store, 1, "killed", lease_seconds=-1)
    claimed(store, 1, "stopped")
    store.release_claims("stopped")
    crash(store, claimed(store, 1).jobs)
    work_off(store, 1)
    with read_transaction(engine) as connection:
        ends = connection.scalars(
            text("SELECT ended_as FROM attempts WHERE job_id = 1 ORDER BY attempt")
        ).all()
    assert ends == ["lease_expired", "given_back", "released", "finished"]
