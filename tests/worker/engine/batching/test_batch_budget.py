"""Batch budget: halved when memory runs out, restored later, never above the plan."""

from __future__ import annotations

from worker.engine.batching.scheduler import BATCHES_UNTIL_INCREASE, BatchBudget, Scheduler


def budget_and_scheduler(rows: int = 32, tokens: int = 8_000) -> tuple[BatchBudget, Scheduler]:
    return BatchBudget(rows, tokens), Scheduler(max_rows=rows, max_tokens=tokens)


def test_the_budget_is_halved_each_time_memory_runs_out():
    budget, scheduler = budget_and_scheduler()
    for _ in range(3):
        budget.halve(scheduler)
    assert (scheduler.max_rows, scheduler.max_tokens) == (4, 1_000)


def test_after_many_successful_batches_the_budget_returns_to_the_plan_and_not_above():
    budget, scheduler = budget_and_scheduler()
    budget.halve(scheduler)
    for _ in range(BATCHES_UNTIL_INCREASE - 1):
        budget.succeeded(scheduler)
    assert scheduler.max_rows == 16
    for _ in range(3 * BATCHES_UNTIL_INCREASE):
        budget.succeeded(scheduler)
    assert (scheduler.max_rows, scheduler.max_tokens) == (32, 8_000)


def test_a_budget_of_one_row_stays_one():
    budget, scheduler = budget_and_scheduler(1, 1)
    budget.halve(scheduler)
    assert (scheduler.max_rows, scheduler.max_tokens) == (1, 1)
