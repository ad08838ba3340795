"""Failures in the local engine: lack of memory, failed batches and comparisons affect only their requests."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import torch
from engine_requests import NOTE, prompt, score_request

from models.settings import Settings
from worker.engine.api import (
    CompareRequest,
    CompareResult,
    GenerateRequest,
    RequestError,
    ScoreResult,
)
from worker.engine.batching.batched_engine import OutOfMemoryError
from worker.engine.network.local_engine import load


def test_out_of_memory_halves_the_batch_and_every_request_is_still_answered(engine, monkeypatch):
    run, failures = engine._runner.run, iter([True, True])

    def run_short_of_memory(batch):
        if len(batch.chunks) > 1 and next(failures, False):
            raise OutOfMemoryError(batch)
        return run(batch)

    monkeypatch.setattr(engine._runner, "run", run_short_of_memory)
    replies = engine.answer(
        [GenerateRequest(prompt(f"Q{n}?", document=f"Note {n}."), max_tokens=4) for n in range(6)]
    )
    assert all(reply.completion_tokens for reply in replies)
    assert engine._scheduler.max_rows < 4


def test_a_request_that_never_fits_fails_alone(weights, monkeypatch):
    engine = load(Settings(weights=str(weights), quantization="none"))
    run = engine._runner.run

    def run_short_of_memory(batch):
        if batch.num_tokens > 300:
            raise OutOfMemoryError(batch)
        return run(batch)

    monkeypatch.setattr(engine._runner, "run", run_short_of_memory)
    documents = [NOTE, NOTE * 40, "Note 2.", "Note 3."]
    requests = [GenerateRequest(prompt(document=document), max_tokens=4) for document in documents]
    long = engine.context_tokens
    replies = engine.answer([*requests, GenerateRequest(prompt("Q2?", document=NOTE * 40), max_tokens=4)])
    assert [getattr(reply, "reason", "") for reply in replies] == [
        "",
        "out_of_memory",
        "",
        "",
        "out_of_memory",
    ]
    assert "tokens alone do not fit" in replies[1].detail
    assert engine.context_tokens == long
    engine.close()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "out_of_memory"),
        (RuntimeError("shapes do not match"), "crashed"),
    ],
)
def test_errors_of_lack_of_memory_are_recognised(engine, monkeypatch, error, reason):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(engine._runner, "_pass", fails)
    [reply] = engine.answer([GenerateRequest(prompt(), max_tokens=4)])
    assert reply.reason == reason


def test_urgent_requests_stay_urgent_after_memory_ran_out(engine, monkeypatch):
    run, failures, orders = engine._runner.run, iter([True]), []

    def run_short_of_memory(batch):
        if len(batch.chunks) > 1 and next(failures, False):
            raise OutOfMemoryError(batch)
        return run(batch)

    add = engine._scheduler.add
    monkeypatch.setattr(engine._runner, "run", run_short_of_memory)
    monkeypatch.setattr(
        engine._scheduler,
        "add",
        lambda added, *, is_urgent: orders.append((len(added), is_urgent)) or add(added, is_urgent=is_urgent),
    )
    engine.answer([GenerateRequest(prompt(f"Q{n}?"), max_tokens=2) for n in range(3)], is_urgent=True)
    assert [order for order in orders if order[0]] == [(3, True), (3, True)]


def test_a_failed_batch_fails_its_requests_and_the_engine_goes_on(engine, monkeypatch):
    def fail(batch):
        raise ValueError("text of a note")

    with monkeypatch.context() as patch:
        patch.setattr(engine._runner, "run", fail)
        assert engine.answer([GenerateRequest(prompt(), max_tokens=4)]) == [
            RequestError("crashed", "ValueError")
        ]
    assert engine.answer([GenerateRequest(prompt(), max_tokens=4)])[0].completion_tokens


class FailingComparer:
    """A comparer that fails on an empty query and records the calling threads."""

    def __init__(self) -> None:
        self.threads: set[str] = set()

    def similarities(self, query: str, texts: Sequence[str]) -> tuple[float, ...]:
        self.threads.add(threading.current_thread().name)
        return tuple(1 / len(query) for _ in texts)  # divides by zero for an empty query

    def forget(self) -> None:
        """Has nothing cached."""


def test_comparisons_run_on_the_engine_thread_and_fail_alone(engine, monkeypatch):
    comparer = FailingComparer()
    monkeypatch.setattr(engine._comparisons, "_comparer", comparer)
    scores, compared, failed = engine.answer(
        [score_request(prompt()), CompareRequest("ab", ("x", "y")), CompareRequest("", ("x",))]
    )
    assert isinstance(scores, ScoreResult)
    assert compared == CompareResult((0.5, 0.5))
    assert failed == RequestError("crashed", "ZeroDivisionError")
    assert comparer.threads == {"engine"}
