"""The scheduler, without a network: rows, slots and budgets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.scheduling import STEP_TOKENS, Row, Scheduler


def row(length: int, *, shared: int = 0, first: int = 7, extra: int = 0, adapted: bool = False) -> Row:
    return Row(
        tokens=[first] * length,
        shared_tokens=shared,
        wanted=(length - 1,),
        planned_tokens=length + extra,
        is_adapted=adapted,
    )


def run(scheduler: Scheduler):
    step = scheduler.schedule()
    for segment in step.segments:
        segment.row.computed_tokens = segment.stop
    return step


def test_rows_are_admitted_in_the_order_they_came():
    scheduler = Scheduler(max_rows=2, max_tokens=1_000)
    rows = [row(10), row(20), row(30)]
    scheduler.add(rows)
    assert [segment.row for segment in run(scheduler).segments] == rows[:2]
    scheduler.leave({rows[0]}.__contains__)
    assert rows[2] in [segment.row for segment in run(scheduler).segments]
    assert rows[2].slot == 0


def test_the_budget_of_cached_tokens_counts_the_longest_row_for_all():
    scheduler = Scheduler(max_rows=8, max_tokens=100)
    scheduler.add([row(40), row(50), row(10)])
    step = run(scheduler)
    assert len(step.segments) == 2
    assert step.num_slots * step.slot_tokens <= 100


def test_a_row_over_the_budget_runs_alone_rather_than_never():
    scheduler = Scheduler(max_rows=8, max_tokens=10)
    scheduler.add([row(40)])
    assert len(run(scheduler).segments) == 1


def test_a_long_prompt_is_read_in_parts_while_others_go_on():
    scheduler = Scheduler(max_rows=8, max_tokens=100_000)
    long, short = row(STEP_TOKENS * 2 + 5), row(6, extra=50)
    scheduler.add([short, long])
    run(scheduler)
    short.tokens.append(1)
    step = run(scheduler)
    assert {segment.row: segment.num_tokens for segment in step.segments}[short] == 1
    assert long.computed_tokens > STEP_TOKENS


def test_the_second_row_of_a_document_copies_its_beginning():
    scheduler = Scheduler(max_rows=8, max_tokens=1_000)
    first, second = row(20, shared=15), row(30, shared=15)
    scheduler.add([first, second])
    assert [segment.row for segment in run(scheduler).segments] == [first]
    step = run(scheduler)
    assert step.copies[0].num_tokens == 15
    assert second.computed_tokens == 30


def test_a_row_that_is_done_at_once_still_gives_its_beginning_to_those_that_wait():
    scheduler = Scheduler(max_rows=8, max_tokens=1_000)
    rows = [row(20, shared=15), row(30, shared=15), row(40, shared=15)]
    scheduler.add(rows)
    run(scheduler)
    scheduler.leave(lambda one: one.computed_tokens == len(one.tokens))
    step = run(scheduler)
    assert [copied.num_tokens for copied in step.copies] == [15, 15]
    assert {segment.row.slot for segment in step.segments} == {1, 2}
    scheduler.leave(lambda one: one.computed_tokens == len(one.tokens))
    assert scheduler.is_idle
    assert scheduler.lingering == []


def test_a_row_with_the_adapter_shares_nothing_with_one_without():
    scheduler = Scheduler(max_rows=8, max_tokens=1_000)
    scheduler.add([row(20, shared=15), row(20, shared=15, adapted=True)])
    step = run(scheduler)
    assert len(step.segments) == 2
    assert step.copies == ()


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3)), min_size=1, max_size=30))
def test_every_row_is_computed_once_and_slots_are_never_shared(shapes):
    scheduler = Scheduler(max_rows=4, max_tokens=400)
    rows = [row(length, shared=length // 2, first=first) for length, first in shapes]
    scheduler.add(rows)
    for _ in range(500):
        if scheduler.is_idle:
            break
        step = run(scheduler)
        slots = [segment.row.slot for segment in step.segments]
        assert len(slots) == len(set(slots)) <= 4
        assert all(segment.num_tokens > 0 for segment in step.segments)
        scheduler.leave(lambda one: one.computed_tokens == len(one.tokens))
    assert all(one.computed_tokens == len(one.tokens) for one in rows)
