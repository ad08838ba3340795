"""PostgreSQL roles: producer, worker and analyst may do their work, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from making import NOTE, QUESTIONS, a_serving, claimed, documents, finished, recipes_of, record
from sqlalchemy import Engine, text

from models.errors import UsageError
from models.migrations import database_roles, schema_version
from models.migrations.database_roles import ANALYST, PRODUCER, WORKER
from models.queries.queries import Queries
from models.schema import views
from models.schema.database import DatabaseError, connect, read_transaction, write_transaction
from models.store.store import Store
from models.usage import Usage

pytestmark = pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)


@pytest.fixture
def acting(store_url: str, engine: Engine) -> Iterator[dict[str, Engine]]:
    """An engine for each role, connected as that role."""
    database_roles.create(engine)
    engines = {role: connect(f"{store_url}&options=-crole%3D{role}") for role in database_roles.GRANTS}
    yield engines
    for role_engine in engines.values():
        role_engine.dispose()


def work_in_roles(acting: dict[str, Engine]) -> None:
    """A worker announces its serving, a producer submits, the worker answers, each in its role."""
    worker, producer = Store(acting[WORKER]), Store(acting[PRODUCER])
    schema_version.check(acting[WORKER])
    schema_version.check(acting[PRODUCER])
    worker.announce(a_serving())
    recipes = recipes_of(a_serving())
    run_id = producer.open_run(questions=QUESTIONS, recipes=list(recipes.values()), sources=[])
    registered = producer.register(run_id, documents(NOTE, NOTE + "!"), QUESTIONS, recipes, is_urgent=True)
    producer.close_run(run_id, documents=2, refused=0)
    producer.mark_enqueued(registered.owed_document_ids)
    work = claimed(worker, 1)
    assert worker.renew("worker", 60) == 3
    assert all(record(worker, job, finished(job, work.text)) for job in work.jobs)
    worker.add_usage(Usage(steps=1), [job.id for job in work.jobs])
    worker.requeue(claimed(worker, 2).jobs, detail="ValueError", max_attempts=1)
    assert producer.retry(run_id=run_id, reason=None) == (2,)
    assert producer.cancel(run_id) == 3
    assert Queries(acting[PRODUCER]).run_progress(run_id).finished == 3
    assert Queries(acting[WORKER]).owed_documents(older_than_seconds=0, limit=9) == []


def refused(engine: Engine, statement: str) -> bool:
    try:
        with write_transaction(engine) as connection:
            connection.execute(text(statement))
    except DatabaseError as error:
        return "InsufficientPrivilege" in str(error)
    return False


FORBIDDEN = {
    PRODUCER: [
        "SELECT text FROM texts",
        "SELECT * FROM entities",
        "SELECT text FROM passages",
        "DELETE FROM documents",
        "UPDATE texts SET text = ''",
        "UPDATE documents SET external_id = ''",
        "SELECT * FROM v_entities",
    ],
    WORKER: [
        "INSERT INTO texts VALUES ('a', 'b', now())",
        "INSERT INTO documents (external_id) VALUES ('a')",
        "DELETE FROM jobs",
        "DELETE FROM entities",
        "UPDATE entities SET text = ''",
        "UPDATE texts SET text = ''",
        "INSERT INTO data_keys (number) VALUES (9)",
    ],
    ANALYST: [
        "SELECT text FROM texts",
        "SELECT text FROM entities",
        "SELECT metadata FROM documents",
        "SELECT text FROM v_passages",
        "SELECT text FROM v_summary_sentences",
        "SELECT source_text FROM v_summary_sources",
        "SELECT text FROM v_summaries",
        "UPDATE jobs SET status = 'pending'",
        "DELETE FROM runs",
    ],
}
FOR_NOBODY = [
    "UPDATE audit SET actor = ''",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "DROP TABLE texts",
    "DELETE FROM texts",
    "CREATE TABLE mine (a int)",
    "UPDATE data_keys SET wrapped = ''",
]


def test_each_role_can_do_its_work_and_nothing_else(acting: dict[str, Engine]) -> None:
    work_in_roles(acting)
    for role, engine in acting.items():
        allowed = [
            statement for statement in (*FORBIDDEN[role], *FOR_NOBODY) if not refused(engine, statement)
        ]
        assert allowed == [], role


def test_an_analyst_counts_and_sees_mentions(acting: dict[str, Engine]) -> None:
    work_in_roles(acting)
    with read_transaction(acting[ANALYST]) as connection:
        assert connection.execute(text("SELECT label, text FROM v_entities")).all() == [("problem", "Pain")]
        assert connection.scalars(text("SELECT score FROM v_passages")).all() == [0.75]
        for name in views.VIEW_NAMES:
            connection.execute(text(f"SELECT COUNT(*) FROM {name}"))


def test_views_are_readable_after_an_upgrade_recreates_them(
    engine: Engine, acting: dict[str, Engine]
) -> None:
    schema_version.downgrade(engine)
    schema_version.upgrade(engine)
    database_roles.grant_anew(engine)
    with read_transaction(acting[ANALYST]) as connection:
        assert connection.execute(text("SELECT label FROM v_entities")).all() == []


def test_sqlite_has_no_roles_and_says_so(store_url: str, tmp_path: object) -> None:
    engine = connect(f"sqlite:///{tmp_path}/notemill.db")
    with pytest.raises(UsageError, match="PostgreSQL"):
        database_roles.create(engine)
