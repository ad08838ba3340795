"""Concurrent workers, threads and processes on one database."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

from making import (
    QUESTIONS,
    a_serving,
    claim,
    claimed,
    documents,
    finished,
    recipes_of,
    record,
    submit,
)

from models.queries.queries import Queries
from models.schema.database import connect
from models.store.store import Store

RunAtOnce = Callable[[Callable[[int], Any], int], list[Any]]
IN_PROCESSES = multiprocessing.get_context("spawn")


def test_concurrent_claims_of_a_document_succeed_once(store: Store, run_at_once: RunAtOnce) -> None:
    submit(store, documents("note"), QUESTIONS)
    works = run_at_once(lambda number: claim(store, 1, f"worker-{number}"), 8)
    assert sorted(len(work.jobs) for work in works if work) == [3]


def test_concurrent_claims_of_an_expired_job_succeed_once(store: Store, run_at_once: RunAtOnce) -> None:
    submit(store, documents("note"))
    claimed(store, 1, "dead", lease_seconds=-1)
    works = run_at_once(lambda number: claim(store, 1, f"worker-{number}"), 8)
    assert [work.jobs[0].attempt for work in works if work] == [2]


def test_concurrent_registrations_of_the_same_notes_create_each_job_once(
    store: Store, queries: Queries, run_at_once: RunAtOnce
) -> None:
    notes = [f"note {number}" for number in range(40)]
    orders = [documents(*notes), documents(*notes)[::-1]]
    registered = run_at_once(lambda number: submit(store, orders[number % 2], QUESTIONS)[1], 4)
    assert [each.documents for each in registered] == [40] * 4
    assert queries.counts()["jobs"]["pending"] == 120


def test_a_job_registered_while_its_run_is_cancelled_is_not_lost(
    store: Store, queries: Queries, run_at_once: RunAtOnce
) -> None:
    for number in range(5):
        _cancel_and_register_at_once(store, f"note {number}", run_at_once)
        assert queries.counts()["jobs"]["pending"] == number + 1


def test_sixteen_threads_record_while_another_process_registers(
    store_url: str, store: Store, queries: Queries, run_at_once: RunAtOnce
) -> None:
    _, registered = submit(store, documents(*(f"note {number}" for number in range(48)), prefix="mine"))
    process = IN_PROCESSES.Process(target=_register_many, args=(store_url,))
    process.start()
    ids = registered.owed_document_ids
    run_at_once(lambda number: [_work_off(store, id_) for id_ in ids[number::16]], 16)
    process.join()
    assert process.exitcode == 0
    jobs = queries.counts()["jobs"]
    assert (jobs["finished"], jobs["running"], jobs["pending"]) == (48, 0, 3000)


def test_worker_processes_share_the_work_without_repeating_any(store_url: str, store: Store) -> None:
    submit(store, documents(*(f"note {number}" for number in range(30))), QUESTIONS)
    with IN_PROCESSES.Pool(2) as pool:
        recorded = pool.starmap(_work_off_all, [(store_url,)] * 2)
    assert sum(recorded) == 90


def _cancel_and_register_at_once(store: Store, note: str, run_at_once: RunAtOnce) -> None:
    run_id, _ = submit(store, documents(note))
    steps = [lambda: store.cancel(run_id), lambda: submit(store, documents(note))]
    run_at_once(lambda number: steps[number](), 2)


def _work_off(store: Store, document_id: int) -> int:
    work = claim(store, document_id)
    return sum(record(store, job, finished(job, work.text)) for job in work.jobs) if work else 0


def _work_off_all(url: str) -> int:
    store = Store(connect(url))
    return sum(_work_off(store, document_id) for document_id in range(1, 31))


def _register_many(url: str) -> None:
    store, recipes = Store(connect(url)), recipes_of(a_serving())
    run_id = store.open_run(questions=QUESTIONS, recipes=list(recipes.values()), sources=[])
    for batch in range(10):
        notes = documents(*(f"batch {batch} note {number}" for number in range(100)), prefix=f"b{batch}")
        store.register(run_id, notes, QUESTIONS, recipes)
