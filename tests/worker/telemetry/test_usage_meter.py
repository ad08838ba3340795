"""The usage meter under threads, and the accounting that adds measured usage to runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import pytest
from making import QUESTIONS, claimed, documents, submit

from models.queries.queries import Queries
from models.store.store import Store
from models.usage import Usage
from worker.telemetry.usage_accounting import UsageAccounting
from worker.telemetry.usage_meter import SHORT_GAP_SECONDS, UsageMeter


@dataclass
class Clock:
    """A manual clock."""

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


def test_concurrent_additions_lose_nothing(run_at_once: Callable[..., Any]) -> None:
    meter = UsageMeter()
    run_at_once(lambda _: [meter.add(decoded_tokens=1, forced_tokens=2) for _ in range(500)], 8)
    assert (meter.usage.decoded_tokens, meter.usage.forced_tokens) == (4_000, 8_000)


def test_time_in_an_inner_block_counts_only_there(meter: UsageMeter, clock: Clock) -> None:
    with meter.timing("read"):
        clock.wait(1)
        with meter.timing("compile"):
            clock.wait(10)
        clock.wait(2)
    assert (meter.usage.read_seconds, meter.usage.compile_seconds) == (3, 10)


def test_a_block_in_another_thread_is_not_an_inner_block() -> None:
    meter, is_done = UsageMeter(), Event()

    def other() -> None:
        with meter.timing("store"):
            is_done.wait(0.2)

    with meter.timing("read"):
        thread = Thread(target=other)
        thread.start()
        thread.join()
    assert meter.usage.read_seconds >= meter.usage.store_seconds >= 0.2


def test_time_counts_if_the_block_raises(meter: UsageMeter, clock: Clock) -> None:
    def break_off() -> None:
        with meter.timing("store"):
            clock.wait(4)
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    assert meter.usage.store_seconds == 4


def test_the_engines_activities_sum_up_to_its_threads_time(meter: UsageMeter, clock: Clock) -> None:
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


def test_idle_time_is_split_by_whether_a_note_is_in_progress(meter: UsageMeter, clock: Clock) -> None:
    with meter.idle():
        clock.wait(5)
        with meter.note_in_progress():
            clock.wait(2)
        clock.wait(7)
        assert meter.usage.idle_empty_seconds == 12
    assert meter.usage.idle_queued_seconds == 2


def test_a_short_gap_between_two_notes_counts_as_queued_work(meter: UsageMeter, clock: Clock) -> None:
    with meter.idle():
        with meter.note_in_progress():
            clock.wait(1)
        clock.wait(SHORT_GAP_SECONDS / 2)
        assert meter.usage.idle_queued_seconds == 1
        with meter.note_in_progress():
            clock.wait(1)
    assert (meter.usage.idle_queued_seconds, meter.usage.idle_empty_seconds) == (2.5, 0)


def test_usage_of_two_workers_adds_up_in_their_run(store: Store, queries: Queries) -> None:
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


def test_load_time_goes_to_the_first_run_and_time_without_work_to_none(
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


def test_usage_that_the_database_refused_is_stored_by_the_next_call(
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
