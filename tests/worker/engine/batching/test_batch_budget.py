"""The budget after the memory ran out: halved at once, planned again later, never more than planned."""

from __future__ import annotations

from worker.engine.batching.scheduler import BATCHES_UNTIL_INCREASE, BatchBudget, Scheduler


def planned(rows: int = 32, tokens: int = 8_000) -> tuple[BatchBudget, Scheduler]:
    return BatchBudget(rows, tokens), Scheduler(max_rows=rows, max_tokens=tokens)


def test_each_time_the_memory_runs_out_the_budget_is_halved():
    budget, scheduler = planned()
    for _ in range(3):
        budget.halve(scheduler)
    assert (scheduler.max_rows, scheduler.max_tokens) == (4, 1_000)


def test_after_many_good_steps_the_plan_holds_again_and_no_more_than_the_plan():
    budget, scheduler = planned()
    budget.halve(scheduler)
    for _ in range(BATCHES_UNTIL_INCREASE - 1):
        budget.succeeded(scheduler)
    assert scheduler.max_rows == 16
    for _ in range(3 * BATCHES_UNTIL_INCREASE):
        budget.succeeded(scheduler)
    assert (scheduler.max_rows, scheduler.max_tokens) == (32, 8_000)


def test_a_budget_of_one_row_stays_one():
    budget, scheduler = planned(1, 1)
    budget.halve(scheduler)
    assert (scheduler.max_rows, scheduler.max_tokens) == (1, 1)
