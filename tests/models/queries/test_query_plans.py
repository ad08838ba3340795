"""Query plans: frequent statements walk an index, whatever the archive's size."""

from __future__ import annotations

import re
from typing import Any

import pytest
from making import QUESTIONS, a_serving, documents, submit
from sqlalchemy import Connection, Engine, Select, Update, event, text

from models.queries import results
from models.queries.browser.browser_queries import answered_statement
from models.queries.browser.document_list import DocumentFilter, documents_statement
from models.queries.owed_jobs import owed_statement
from models.schema.database import read_transaction
from models.store.claims import owed_jobs
from models.store.leases import renewal
from models.store.store import Store
from models.store.usage import PAYING_RUNS

STATEMENTS = {
    "claim": (
        owed_jobs().params(shas=["one", "two"], serving_id=a_serving().id),
        ["ix_jobs_owed", "ix_run_jobs_job_id_run_id"],
    ),
    "owed": (owed_statement(a_serving().id, 5.0, 100), ["ix_jobs_owed", "ix_documents_text_sha256"]),
    "suspects": (owed_statement(a_serving().id, 0.0, 20, is_quarantined=True), ["ix_jobs_suspect"]),
    "charge": (PAYING_RUNS.params(job_ids=[1, 2]), ["ix_run_jobs_job_id_run_id"]),
    "renew": (renewal("worker", 30.0), ["ix_jobs_running"]),
    "results of a run": (results.of_run(1), []),
    "results of all runs": (results.of_all_runs(), ["ix_run_jobs_document_id_job_id_run_id"]),
    "a page of documents": (documents_statement(DocumentFilter(), 50, before=9), []),
    "a page of one run's": (documents_statement(DocumentFilter(run=1), 50, before=9), []),
    "answers to a query": (answered_statement("0" * 64, 50, before=9), []),
    "results of a document": (results.of_document(1, None), ["ix_run_jobs_document_id_job_id_run_id"]),
}
PAGED = ["a page of documents", "a page of one run's", "answers to a query"]
STREAMED = [*PAGED, "owed", "results of a run", "results of all runs"]
# SQLite prints SCAN … USING INDEX for an index scan, and SCAN alone for a table scan.
WHOLE_TABLE = re.compile(r"Seq Scan on (jobs|documents|run_jobs)|SCAN (jobs|documents|run_jobs)(?! USING)")


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_scans_a_table(store: Store, engine: Engine, name: str) -> None:
    submit(store, documents("one", "two"), QUESTIONS)
    statement, indexes = STATEMENTS[name]
    plan = _plan(engine, statement)
    assert WHOLE_TABLE.search(plan) is None, plan
    assert [index for index in indexes if index not in plan] == [], plan


@pytest.mark.parametrize("name", STREAMED)
def test_a_streamed_statement_needs_no_sort(store: Store, engine: Engine, name: str) -> None:
    submit(store, documents("one", "two"), QUESTIONS)
    plan = _plan(engine, STATEMENTS[name][0], also_off=("sort", "incremental_sort", "hashjoin"))
    assert "Sort Key" not in plan
    assert "TEMP B-TREE" not in plan


def _plan(
    engine: Engine, statement: Select[*tuple[Any, ...]] | Update, also_off: tuple[str, ...] = ()
) -> str:
    """The query plan. Disables sequential scans on PostgreSQL, which prefers them for tables of one page: the
    test asks whether the indexes allow a better plan."""
    is_sqlite = engine.dialect.name == "sqlite"
    with read_transaction(engine) as connection:
        for method in () if is_sqlite else ("seqscan", "bitmapscan", *also_off):
            connection.execute(text(f"SET LOCAL enable_{method} = off"))
        words, parameters = _sent(connection, statement)
        explain = f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}{words}"
        rows = connection.exec_driver_sql(explain, parameters).all()
    return "\n".join(str(row[-1]) for row in rows)


def _sent(connection: Connection, statement: Select[*tuple[Any, ...]] | Update) -> tuple[str, Any]:
    """The statement and its parameters as the driver receives them."""
    seen: list[tuple[str, Any]] = []

    def see(_connection: Any, _cursor: Any, words: str, parameters: Any, *_more: Any) -> None:
        seen.append((words, parameters))

    event.listen(connection, "before_cursor_execute", see)
    connection.execute(statement)
    event.remove(connection, "before_cursor_execute", see)
    return seen[-1]
