"""Group commit: claims and records of many threads share transactions, and none affects another."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from making import NOTE, a_serving, claimed, documents, finished, submit
from workshop import until

from models.jobs import Job, Work
from models.outcomes import Failed, Reason
from models.schema.database import DatabaseError, DatabaseUnavailableError
from models.store.answer_validation import InvalidAnswerError
from models.store.store import Store
from worker.queue.group_commit import EndedJob, GroupCommit


def texts(count: int) -> list[str]:
    return [f"{NOTE} {index}" for index in range(count)]


def group_commit_for(store: Store) -> GroupCommit:
    def claim(ids: Sequence[int]) -> Sequence[Work | None]:
        return store.claim(ids, worker="worker", serving_id=a_serving().id, lease_seconds=60, max_kills=3)

    return GroupCommit(claim=claim, record=store.record)


class BlockedClaim:
    """A claim function that waits for the gate and records which ids came together."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.calls: list[list[int]] = []

    def __call__(self, ids: Sequence[int]) -> Sequence[Work | None]:
        self.calls.append(list(ids))
        self.gate.wait(10)
        if "away" in self.errors:
            raise DatabaseUnavailableError("away")
        if 3 in ids:
            raise DatabaseError("refused")
        return [Work(document_id=id_, text="", jobs=()) for id_ in ids]

    errors: tuple[str, ...] = ()


def claim_together(claim: BlockedClaim, ids: Sequence[int]) -> list[Work | Exception | None]:
    """Returns the result of each thread whose claim waited while the first claim was in progress."""
    group_commit = GroupCommit(claim=claim, record=lambda _: [])
    with ThreadPoolExecutor(len(ids) + 1) as pool:
        first = pool.submit(group_commit.claim, 100)
        until(lambda: claim.calls)
        futures = [pool.submit(group_commit.claim, id_) for id_ in ids]
        until(lambda: len(group_commit._claims.waiting) == len(ids))
        claim.gate.set()
        first.exception()
        return [future.exception() or future.result() for future in futures]  # type: ignore[misc]


def test_claims_during_a_transaction_share_the_next_one() -> None:
    claim = BlockedClaim()
    results = claim_together(claim, [1, 2, 4])
    assert [sorted(call) for call in claim.calls] == [[100], [1, 2, 4]]
    assert [work.document_id for work in results if isinstance(work, Work)] == [1, 2, 4]


def test_a_claim_refused_by_the_database_fails_alone() -> None:
    results = claim_together(BlockedClaim(), [1, 2, 3])
    assert [type(result) for result in results] == [Work, Work, DatabaseError]


def test_an_unavailable_database_is_reported_to_all_threads_at_once() -> None:
    claim = BlockedClaim()
    claim.errors = ("away",)
    assert {type(result) for result in claim_together(claim, [1, 2, 4])} == {DatabaseUnavailableError}
    assert len(claim.calls) == 2


def test_an_error_in_the_group_commit_is_raised_and_its_thread_continues() -> None:
    answers = iter([[], [None]])  # the first is one too few
    group_commit = GroupCommit(claim=lambda _ids: next(answers), record=lambda _ended: [])
    with pytest.raises(ValueError, match="zip"):
        group_commit.claim(1)
    assert group_commit.claim(2) is None


def test_each_thread_claims_and_records_its_own_document(store: Store) -> None:
    _, registered = submit(store, documents(*texts(12)))
    group_commit = group_commit_for(store)

    def work_off(document_id: int) -> list[bool | Exception]:
        work = group_commit.claim(document_id)
        assert work is not None
        assert work.document_id == document_id
        return group_commit.record([(job, finished(job, work.text)) for job in work.jobs])

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(work_off, registered.owed_document_ids)) == [[True]] * 12
    assert [group_commit.claim(id_) for id_ in registered.owed_document_ids] == [None] * 12


def test_a_late_and_an_ungrounded_answer_fail_alone(store: Store) -> None:
    _, registered = submit(store, documents(*texts(4)))
    jobs = [claimed(store, id_).jobs[0] for id_ in registered.owed_document_ids]
    store.requeue(jobs[:1], detail="", max_attempts=3)
    claimed(store, registered.owed_document_ids[0])
    ended: list[EndedJob] = [(job, finished(job, text)) for job, text in zip(jobs, texts(4), strict=True)]
    ended[1], ended[2] = (jobs[1], finished(jobs[1], "Untrue")), (jobs[2], Failed(reason=Reason.TOO_LONG))
    late, ungrounded, *others = store.record(ended)
    assert late is False
    assert isinstance(ungrounded, InvalidAnswerError)
    assert others == [True, True]


def test_a_repeated_answer_is_recorded_once(store: Store) -> None:
    submit(store, documents(NOTE))
    job: Job = claimed(store, 1).jobs[0]
    assert store.record([(job, finished(job, NOTE))] * 2) == [True, False]


def test_two_documents_with_the_same_text_give_the_work_to_the_first(store: Store) -> None:
    submit(store, documents(NOTE, NOTE))
    claim = group_commit_for(store).claim
    works = store.claim([1, 2], worker="w", serving_id=a_serving().id, lease_seconds=9, max_kills=3)
    assert [work is not None for work in works] == [True, False]
    assert claim(2) is None


def test_a_missing_document_has_no_owed_jobs(store: Store) -> None:
    submit(store, documents(NOTE))
    works = store.claim([99, 1], worker="w", serving_id=a_serving().id, lease_seconds=9, max_kills=3)
    assert [work is None for work in works] == [True, False]
