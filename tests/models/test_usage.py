"""What is spent: arithmetic, the meter under threads, and which run pays, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from threading import Event, Thread
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
from worker.telemetry.usage_accounting import UsageAccounting
from worker.telemetry.usage_meter import SHORT_GAP_SECONDS, UsageMeter

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


@dataclass
class Clock:
    """A time that passes when it is told to."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> UsageMeter:
    return UsageMeter(clock)


@given(amounts, amounts)
def test_what_is_added_can_be_taken_away(one: Usage, other: Usage) -> None:
    assert asdict(one + other - other) == pytest.approx(asdict(one), abs=1e-6)


@given(amounts, st.lists(st.integers(1, 10**6), min_size=1, max_size=9))
def test_parts_add_up_to_the_whole_to_the_last_token(whole: Usage, weights: list[int]) -> None:
    parts = whole.divided(weights)
    assert len(parts) == len(weights)
    assert asdict(sum(parts, Usage())) == pytest.approx(asdict(whole))
    assert sum(part.decoded_tokens for part in parts) == whole.decoded_tokens


def test_shares_are_of_the_time_in_which_there_was_work() -> None:
    usage = Usage(prefill_seconds=6, decode_seconds=3, idle_queued_seconds=1, idle_empty_seconds=90)
    assert usage.idle_share == 0.1
    assert usage.engine_seconds == 100
    assert Usage().idle_share == Usage().constrain_share == Usage().rows_a_step == 0


def test_every_figure_has_a_column() -> None:
    assert [name for name in UsageColumns.__annotations__ if name != "spent_at"] == list(USAGE_FIELDS)
    assert set(STEP._SECONDS + STEP._COUNTS) == set(USAGE_FIELDS)


def test_nothing_is_lost_where_many_threads_count(run_at_once: Callable[..., Any]) -> None:
    meter = UsageMeter()
    run_at_once(lambda _: [meter.add(decoded_tokens=1, forced_tokens=2) for _ in range(500)], 8)
    assert (meter.usage.decoded_tokens, meter.usage.forced_tokens) == (4_000, 8_000)


def test_time_in_an_inner_block_is_the_inner_ones_alone(meter: UsageMeter, clock: Clock) -> None:
    with meter.timing("read"):
        clock.wait(1)
        with meter.timing("compile"):
            clock.wait(10)
        clock.wait(2)
    assert (meter.usage.read_seconds, meter.usage.compile_seconds) == (3, 10)


def test_time_of_another_thread_is_not_taken_for_an_inner_block() -> None:
    meter, is_done = UsageMeter(), Event()

    def other() -> None:
        with meter.timing("store"):
            is_done.wait(0.2)

    with meter.timing("read"):
        thread = Thread(target=other)
        thread.start()
        thread.join()
    assert meter.usage.read_seconds >= meter.usage.store_seconds >= 0.2


def test_time_counts_where_the_block_raised(meter: UsageMeter, clock: Clock) -> None:
    def break_off() -> None:
        with meter.timing("store"):
            clock.wait(4)
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert meter.usage.store_seconds == 4


def test_the_engines_accounts_sum_up_to_its_threads_time(meter: UsageMeter, clock: Clock) -> None:
    watch = meter.stopwatch()
    for account in ("schedule", "constrain", "schedule"):
        clock.wait(1)
        watch.lap(account)
    clock.wait(8)
    watch.step(prefill_tokens=30, decode_tokens=10, rows=11)
    with meter.note_in_progress(), watch.idle():
        clock.wait(3)
    usage = meter.usage
    assert usage.engine_seconds == clock.now - 100
    assert (usage.prefill_seconds, usage.decode_seconds, usage.rows_a_step) == (6, 2, 11)


def test_idle_time_is_told_apart_by_whether_a_note_is_in_hand(meter: UsageMeter, clock: Clock) -> None:
    with meter.idle():
        clock.wait(5)
        with meter.note_in_progress():
            clock.wait(2)
        clock.wait(7)
        assert meter.usage.idle_empty_seconds == 12
    assert meter.usage.idle_queued_seconds == 2


def test_a_short_gap_between_two_notes_counts_as_work_that_waited(meter: UsageMeter, clock: Clock) -> None:
    with meter.idle():
        with meter.note_in_progress():
            clock.wait(1)
        clock.wait(SHORT_GAP_SECONDS / 2)
        assert meter.usage.idle_queued_seconds == 1
        with meter.note_in_progress():
            clock.wait(1)
    assert (meter.usage.idle_queued_seconds, meter.usage.idle_empty_seconds) == (2.5, 0)


def test_two_workers_add_up_in_the_run_they_worked_for(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents("one", "two"), QUESTIONS)
    for number, tokens in ((1, 10), (2, 5)):
        meter = UsageMeter()
        usage_accounting = UsageAccounting(meter, store)
        with usage_accounting.attribute_to(claimed(store, number, f"worker-{number}").jobs):
            meter.add(decoded_tokens=tokens, decode_seconds=0.5)
            usage_accounting.store_usage()
            meter.add(decoded_tokens=tokens)
        usage_accounting.store_usage()
        usage_accounting.store_usage()
    charged = queries.run_usage(run_id)
    assert (charged.usage.decoded_tokens, charged.usage.decode_seconds) == (30, 1.0)
    assert charged.updated_at is not None


def test_workers_that_tell_at_once_lose_nothing(store: Store, queries: Queries, run_at_once: Any) -> None:
    run_id, _ = submit(store, documents("one"), QUESTIONS)
    ids = [job.id for job in claimed(store, 1).jobs]
    run_at_once(lambda _: [store.add_usage(Usage(steps=1, store_seconds=0.25), ids) for _ in range(5)], 4)
    assert queries.run_usage(run_id).usage == Usage(steps=20, store_seconds=5.0)


def test_the_newest_run_that_waited_pays(store: Store, queries: Queries) -> None:
    stopped, _ = submit(store, documents("one", "two"))
    repeated, _ = submit(store, documents("one"))
    jobs = [*claimed(store, 1).jobs, *claimed(store, 2).jobs]
    later, _ = submit(store, documents("one", "two"))
    store.add_usage(Usage(prefill_tokens=101), [job.id for job in jobs])
    paid = [queries.run_usage(run_id).usage.prefill_tokens for run_id in (stopped, repeated, later)]
    assert paid == [50, 51, 0]


def test_a_worker_without_work_charges_nobody_and_its_load_goes_to_the_first_run(
    store: Store, queries: Queries, meter: UsageMeter
) -> None:
    run_id, _ = submit(store, documents("one"))
    usage_accounting = UsageAccounting(meter, store)
    meter.add(load_seconds=4, idle_empty_seconds=3_600)
    usage_accounting.store_usage()
    with usage_accounting.attribute_to(claimed(store, 1).jobs):
        meter.add(idle_empty_seconds=1)
    usage_accounting.store_usage()
    assert queries.run_usage(run_id).usage == Usage(load_seconds=4, idle_empty_seconds=1)


def test_what_the_database_did_not_take_goes_with_the_next_call(
    store: Store, queries: Queries, meter: UsageMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, _ = submit(store, documents("one"))
    usage_accounting = UsageAccounting(meter, store)
    with usage_accounting.attribute_to(claimed(store, 1).jobs):
        meter.add(steps=3)
    with monkeypatch.context() as away:
        away.setattr(store, "_engine", None)
        with pytest.raises(AttributeError):
            usage_accounting.store_usage()
    usage_accounting.store_usage()
    assert queries.run_usage(run_id).usage == Usage(steps=3)


def test_jobs_that_were_deleted_are_paid_by_nobody(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents("one"))
    store.add_usage(Usage(steps=3), [99])
    assert queries.run_usage(run_id).updated_at is None


def test_more_jobs_than_fit_one_query_are_charged(store: Store, queries: Queries) -> None:
    run_id, _ = submit(store, documents("one"))
    ids = [job.id for job in claimed(store, 1).jobs]
    store.add_usage(Usage(steps=3), [*range(1_000, 4_000), *ids])
    assert queries.run_usage(run_id).usage == Usage(steps=3)


def test_a_run_that_is_not_there_says_so(queries: Queries) -> None:
    with pytest.raises(UsageError, match="no run 7"):
        queries.run_usage(7)


def test_the_step_goes_up_and_down_under_runs_and_keeps_them(store: Store, engine: Engine) -> None:
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
