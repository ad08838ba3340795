"""Claims and records of many threads go in together, and none is answerable for another."""

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


def texts(number: int) -> list[str]:
    return [f"{NOTE} {one}" for one in range(number)]


def ledger_of(store: Store) -> GroupCommit:
    def claim(ids: Sequence[int]) -> Sequence[Work | None]:
        return store.claim(ids, worker="worker", serving_id=a_serving().id, lease_seconds=60, max_kills=3)

    return GroupCommit(claim=claim, record=store.record)


class Slow:
    """A function of many that waits for the gate, and keeps what came together."""

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


def together(claim: Slow, ids: Sequence[int]) -> list[Work | Exception | None]:
    """What each thread gets whose document waited while the first one's claim was under way."""
    group_commit = GroupCommit(claim=claim, record=lambda _: [])
    with ThreadPoolExecutor(len(ids) + 1) as pool:
        first = pool.submit(group_commit.claim, 100)
        until(lambda: claim.calls)
        futures = [pool.submit(group_commit.claim, id_) for id_ in ids]
        until(lambda: len(group_commit._claims.waiting) == len(ids))
        claim.gate.set()
        first.exception()
        return [future.exception() or future.result() for future in futures]  # type: ignore[misc]


def test_what_comes_while_a_transaction_is_under_way_goes_with_the_next_one() -> None:
    claim = Slow()
    results = together(claim, [1, 2, 4])
    assert [sorted(call) for call in claim.calls] == [[100], [1, 2, 4]]
    assert [work.document_id for work in results if isinstance(work, Work)] == [1, 2, 4]


def test_one_that_the_database_refuses_takes_no_other_along() -> None:
    results = together(Slow(), [1, 2, 3])
    assert [type(result) for result in results] == [Work, Work, DatabaseError]


def test_a_database_that_is_away_is_told_to_everyone_at_once() -> None:
    claim = Slow()
    claim.errors = ("away",)
    assert {type(result) for result in together(claim, [1, 2, 4])} == {DatabaseUnavailableError}
    assert len(claim.calls) == 2


def test_a_surprise_in_the_ledger_itself_is_told_and_its_thread_goes_on() -> None:
    answers = iter([[], [None]])  # the first is one too few
    group_commit = GroupCommit(claim=lambda _ids: next(answers), record=lambda _ended: [])
    with pytest.raises(ValueError, match="zip"):
        group_commit.claim(1)
    assert group_commit.claim(2) is None


def test_threads_claim_and_record_each_its_own(store: Store) -> None:
    _, registered = submit(store, documents(*texts(12)))
    group_commit = ledger_of(store)

    def work_off(document_id: int) -> list[bool | Exception]:
        work = group_commit.claim(document_id)
        assert work is not None
        assert work.document_id == document_id
        return group_commit.record([(job, finished(job, work.text)) for job in work.jobs])

    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(work_off, registered.owed_document_ids)) == [[True]] * 12
    assert [group_commit.claim(id_) for id_ in registered.owed_document_ids] == [None] * 12


def test_a_late_and_an_untrue_answer_take_no_other_along(store: Store) -> None:
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


def test_an_answer_handed_in_twice_is_recorded_once(store: Store) -> None:
    submit(store, documents(NOTE))
    job: Job = claimed(store, 1).jobs[0]
    assert store.record([(job, finished(job, NOTE))] * 2) == [True, False]


def test_of_two_documents_with_one_text_claimed_together_the_first_gets_the_work(store: Store) -> None:
    submit(store, documents(NOTE, NOTE))
    ledger_claim = ledger_of(store).claim
    works = store.claim([1, 2], worker="w", serving_id=a_serving().id, lease_seconds=9, max_kills=3)
    assert [work is not None for work in works] == [True, False]
    assert ledger_claim(2) is None


def test_a_document_that_is_not_there_owes_nothing(store: Store) -> None:
    submit(store, documents(NOTE))
    found = store.claim([99, 1], worker="w", serving_id=a_serving().id, lease_seconds=9, max_kills=3)
    assert [work is None for work in found] == [True, False]
