"""Usage: arithmetic, and which run the usage of a job is added to, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from importlib import import_module
from typing import Any

import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from making import NOTE, QUESTIONS, claimed, documents, submit
from sqlalchemy import Engine, inspect, text

from models.errors import UsageError
from models.migrations import schema_version
from models.queries.queries import Queries
from models.schema.database import read_transaction, write_transaction
from models.schema.usage_columns import UsageColumns
from models.store.store import Store
from models.usage import USAGE_FIELDS, Usage

STEP = import_module("models.migrations.versions.v0003_what_a_run_has_cost")
amounts = st.builds(
    Usage,
    **{
        field.name: st.integers(0, 10**12)
        if field.default == 0 and isinstance(field.default, int)
        else st.floats(0, 1e6)
        for field in fields(Usage)
    },
)


@given(amounts, amounts)
def test_subtraction_reverses_addition(usage: Usage, addend: Usage) -> None:
    assert asdict(usage + addend - addend) == pytest.approx(asdict(usage), abs=1e-6)


@given(amounts, st.lists(st.integers(1, 10**6), min_size=1, max_size=9))
def test_parts_add_up_exactly_to_the_whole(whole: Usage, weights: list[int]) -> None:
    parts = whole.divided(weights)
    assert len(parts) == len(weights)
    assert asdict(sum(parts, Usage())) == pytest.approx(asdict(whole))
    assert sum(part.decoded_tokens for part in parts) == whole.decoded_tokens


def test_shares_refer_to_the_time_with_notes_to_work_on() -> None:
    usage = Usage(prefill_seconds=6, decode_seconds=3, idle_queued_seconds=1, idle_empty_seconds=90)
    assert usage.idle_share == 0.1
    assert usage.engine_seconds == 100
    assert Usage().idle_share == Usage().constrain_share == Usage().rows_a_step == 0


def test_every_usage_field_has_a_column() -> None:
    assert [name for name in UsageColumns.__annotations__ if name != "spent_at"] == list(USAGE_FIELDS)
    assert set(STEP._SECONDS + STEP._COUNTS) == set(USAGE_FIELDS)


def test_concurrent_usage_updates_lose_nothing(store: Store, queries: Queries, run_at_once: Any) -> None:
    run_id, _ = submit(store, documents("one"), QUESTIONS)
    ids = [job.id for job in claimed(store, 1).jobs]
    run_at_once(lambda _: [store.add_usage(Usage(steps=1, store_seconds=0.25), ids) for _ in range(5)], 4)
    assert queries.run_usage(run_id).usage == Usage(steps=20, store_seconds=5.0)


def test_usage_goes_to_the_newest_run_that_waits_for_the_job(store: Store, queries: Queries) -> None:
    stopped, _ = submit(store, documents("one", "two"))
    repeated, _ = submit(store, documents("one"))
    jobs = [*claimed(store, 1).jobs, *claimed(store, 2).jobs]
    later, _ = submit(store, documents("one", "two"))
    store.add_usage(Usage(prefill_tokens=101), [job.id for job in jobs])
    paid = [queries.run_usage(run_id).usage.prefill_tokens for run_id in (stopped, repeated, later)]
    assert paid == [50, 51, 0]


def test_usage_of_deleted_jobs_goes_to_no_run(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents("one"))
    store.add_usage(Usage(steps=3), [99])
    assert queries.run_usage(run_id).updated_at is None


def test_usage_of_more_jobs_than_fit_one_query_is_added(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents("one"))
    ids = [job.id for job in claimed(store, 1).jobs]
    store.add_usage(Usage(steps=3), [*range(1_000, 4_000), *ids])
    assert queries.run_usage(run_id).usage == Usage(steps=3)


def test_the_usage_of_a_missing_run_is_a_usage_error(queries: Queries) -> None:
    with pytest.raises(UsageError, match="no run 7"):
        queries.run_usage(7)


def test_the_migration_of_usage_columns_keeps_runs(store: Store, engine: Engine) -> None:
    submit(store, documents(NOTE), QUESTIONS)
    _migrate(engine, command.downgrade, STEP.down_revision)
    assert not set(USAGE_FIELDS) & {column["name"] for column in inspect(engine).get_columns("runs")}
    with read_transaction(engine) as connection:
        counted = connection.execute(text("SELECT COUNT(*) FROM run_jobs")).scalar_one()
    assert counted == len(QUESTIONS)
    schema_version.upgrade(engine)
    assert Queries(engine).run_usage(1).usage == Usage()


def _migrate(engine: Engine, verb: Callable[..., None], revision: str) -> None:
    with write_transaction(engine) as connection:
        verb(schema_version._config(connection), revision)
