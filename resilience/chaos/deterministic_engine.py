"""Engines of a chaos run.

ChaosEngine has no network. It answers by a checksum of the text, so that an answer from another note or
question would be noticed. The other engine is the real one on tiny weights, with injected faults.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np

from models.settings import Settings
from resilience.chaos import fault_triggers
from resilience.chaos.chaos_notes import POISON
from worker.engine.api import (
    Choice,
    CompareRequest,
    CompareResult,
    Reply,
    Request,
    RequestError,
    ScoreRequest,
    ScoreResult,
    Scores,
)
from worker.telemetry.usage_meter import UsageMeter

_LONGEST_PAUSE_SECONDS = 0.25
_SLOW_SECONDS = 3.0
"""Pause of one note in thirty: longer than the shortest visibility timeout."""
_MEMORY_LIMIT_SECONDS = 1.0
"""How long a process cannot allocate memory."""


class ChaosEngine:
    """Scores by a checksum of question, sentence and note."""

    context_tokens = 32_768

    def __init__(self, *, has_faults: bool) -> None:
        self._has_faults = has_faults

    def count_tokens(self, text: str) -> int:
        return len(text) // 4 + 1

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:  # noqa: ARG002
        if self._has_faults and requests:
            prompted = [request for request in requests if not isinstance(request, CompareRequest)]
            _inject_fault(prompted[0].prompt.document if prompted else "")
        return [_reply(request) for request in requests]

    def close(self) -> None:
        """Has nothing to close."""


def _reply(request: Request) -> Reply:
    if isinstance(request, CompareRequest):
        return CompareResult((0.0,) * len(request.texts))
    return _decided(request) if isinstance(request, ScoreRequest) else _REFUSAL


_REFUSAL = RequestError("unparsable", "this engine generates no text")


def load_instant(_settings: Settings, _meter: UsageMeter | None) -> ChaosEngine:
    return ChaosEngine(has_faults=True)


def load_real(settings: Settings, meter: UsageMeter | None) -> Any:
    """The default engine, whose network runs out of GPU memory when that fault is armed."""
    import torch

    from worker.engine.network import local_engine
    from worker.engine.network.model_runner import TransformersRunner

    original_pass = TransformersRunner._pass

    def pass_or_fail(self: Any, chunks: Any, *, uses_adapter: bool) -> Any:
        if chunks and fault_triggers.trigger(fault_triggers.ENGINE_OUT_OF_MEMORY):
            raise torch.OutOfMemoryError("CUDA out of memory (injected)")
        return original_pass(self, chunks, uses_adapter=uses_adapter)

    TransformersRunner._pass = pass_or_fail  # type: ignore[method-assign]
    return local_engine.load(settings, meter)


def _inject_fault(text: str) -> None:
    if POISON in text:
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)
    if fault_triggers.trigger(fault_triggers.ENGINE_OUT_OF_MEMORY):
        raise RuntimeError("CUDA out of memory (injected)")
    if fault_triggers.trigger(fault_triggers.OUT_OF_MEMORY):
        _run_out_of_memory()
    number = crc32(text.encode())
    time.sleep(_SLOW_SECONDS if number % 30 == 0 else number % 1_000 / 1_000 * _LONGEST_PAUSE_SECONDS)


def _run_out_of_memory() -> None:
    """Limits the address space to its current size for a while: the next large allocation fails."""
    pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115, PTH123
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), hard))
    try:
        until = time.monotonic() + _MEMORY_LIMIT_SECONDS
        while time.monotonic() < until:
            time.sleep(0.05)
        bytearray(2**30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _decided(request: ScoreRequest) -> ScoreResult:
    seed = crc32((request.prompt.document + request.prompt.question).encode())
    scores = tuple(_scores(choice, request.copy, seed) for choice in request.choices)
    return ScoreResult(scores, prompt_tokens=len(request.copy) // 4 + 1)


def _scores(choice: Choice, copy: str, seed: int) -> Scores:
    ends = choice.ends if choice.ends is not None else tuple(range(1, len(copy) + 1))
    starts = (0, *ends[:-1])
    shares = np.full((len(ends), len(choice.words)), 0.01, np.float32)
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        shares[index, 0] = 0.2 + crc32(copy[start:end].encode(), seed) % 100 / 100
        shares[index, -1] = 1.0
    return Scores(
        spans=tuple((max(0, end - 1), end) for end in ends),
        log_probabilities=np.log(shares / shares.sum(axis=1, keepdims=True)),
    )
