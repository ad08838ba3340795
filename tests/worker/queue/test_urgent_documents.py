"""Urgent documents are processed before nightly ones: in the tables, in Redis and in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from making import ENTITIES, NOTE, QUESTIONS, a_serving, claimed, documents, recipes_of, submit, work_off
from redis_server import NIGHTLY_LIST
from sqlalchemy import Engine, text

from models.messages import QUEUE_NAME
from models.migrations import schema_version
from models.queries.queries import Queries
from models.schema.database import connect, read_transaction, write_transaction
from models.store.store import Store
from worker.queue.sweeper import sweep

if TYPE_CHECKING:
    from commands import Notemill
    from workshop import Workshop

pytest_plugins = ("redis_server", "workshop", "commands")

FINISHED_IN_ORDER = (
    "SELECT documents.external_id FROM jobs JOIN documents ON documents.text_sha256 = jobs.text_sha256"
    " ORDER BY jobs.started_at"
)


def submit_urgently(store: Store, *texts: str) -> None:
    recipes = recipes_of(a_serving())
    run_id = store.open_run(questions=[ENTITIES], recipes=list(recipes.values()), sources=[])
    store.register(run_id, documents(*texts), [ENTITIES], recipes, is_urgent=True)


def test_an_urgent_submission_makes_a_waiting_document_urgent(store: Store, queries: Queries) -> None:
    submit(store, documents("one", "two"))
    assert queries.owed_documents(older_than_seconds=0, limit=9, is_urgent=True) == []
    submit_urgently(store, "one", "three")
    assert sorted(queries.owed_documents(older_than_seconds=0, limit=9, is_urgent=True)) == [1, 3]
    assert [claimed(store, id_).is_urgent for id_ in (1, 2, 3)] == [True, False, True]


def test_a_nightly_submission_leaves_an_urgent_document_urgent(store: Store) -> None:
    submit_urgently(store, "one")
    submit(store, documents("one"))
    assert claimed(store, 1).is_urgent


def test_the_migration_adds_and_removes_the_column_with_rows_in_the_table(
    engine: Engine, store: Store
) -> None:
    submit(store, documents(NOTE), QUESTIONS)
    work_off(store, 1)
    for revision in ("0001", "head"):
        with write_transaction(engine) as connection:
            move = command.upgrade if revision == "head" else command.downgrade
            move(schema_version._config(connection), revision)
    assert schema_version.state(engine) == "current"
    with read_transaction(engine) as connection:
        statuses = connection.execute(text("SELECT status, is_urgent FROM jobs")).all()
    assert [(status, bool(is_urgent)) for status, is_urgent in statuses] == [("finished", False)] * 3


def test_urgent_messages_wait_in_the_list_that_is_read_first(workshop: Workshop) -> None:
    workshop.submit_as_producer("No fever.", "Mild pain.", prefix="nightly")
    workshop.submit_as_producer("Sudden fever.", prefix="urgent", is_urgent=True)
    assert (workshop.redis.llen(QUEUE_NAME), workshop.redis.llen(NIGHTLY_LIST)) == (1, 2)


def test_a_lost_urgent_message_is_sent_again_while_nightly_ones_wait(workshop: Workshop) -> None:
    workshop.submit_as_producer("No fever.", prefix="nightly")
    workshop.submit_as_producer("Sudden fever.", prefix="urgent", is_urgent=True)
    workshop.redis.delete(QUEUE_NAME)
    with workshop.database.begin() as connection:
        connection.execute(text("UPDATE documents SET enqueued_epoch = 0"))
    assert sweep(workshop.stranger(), workshop.database, None) == 1
    assert (workshop.redis.llen(QUEUE_NAME), workshop.redis.llen(NIGHTLY_LIST)) == (1, 1)


@pytest.mark.parametrize("threads", [1, 4])
def test_an_urgent_document_overtakes_a_queue_of_nightly_ones(workshop: Workshop, threads: int) -> None:
    nightly = [f"No fever on day {number}." for number in range(12 * threads)]
    workshop.submit_as_producer(*nightly, prefix="nightly")
    workshop.start(seconds=0.5, worker_threads=threads)
    workshop.until(lambda: workshop.statuses().count("finished") >= threads)
    before = workshop.statuses().count("finished")
    workshop.submit_as_producer("Sudden fever.", prefix="urgent", is_urgent=True)
    workshop.until_all("finished")
    # Documents in progress, prefetched ones, and those that begin meanwhile.
    assert workshop.column(FINISHED_IN_ORDER).index("urgent-0") <= before + 4 * threads


def test_an_urgent_document_does_not_wait_for_threads_with_long_documents(workshop: Workshop) -> None:
    workshop.submit_as_producer("They HANG.", "They HANG too.", prefix="nightly")
    workshop.start(worker_threads=2)
    workshop.until(lambda: workshop.statuses() == ["running", "running"])
    workshop.submit_as_producer("Sudden fever.", prefix="urgent", is_urgent=True)
    workshop.until(lambda: workshop.statuses() == ["running", "running", "finished"])


@pytest.mark.parametrize("verb", ["submit", "run"])
def test_the_command_line_submits_urgent_jobs(notemill: Notemill, verb: str) -> None:
    notemill.write(one="Fever.")
    assert notemill(verb, notemill.notes, "--search", "fever", "--urgent") == 0, notemill.err
    engine: Any = connect(f"sqlite:///{notemill.home / 'notemill.db'}")
    with read_transaction(engine) as connection:
        assert connection.execute(text("SELECT is_urgent FROM jobs")).scalars().all() == [1]
    engine.dispose()
