"""One engine thread that many threads ask: requests in, batches through the network, replies out.

Knows no torch: the network is behind `ModelRunner`. A request that cannot be answered is a Refusal
in its place; an error of the network refuses what was in the batch and the thread goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from worker.engine.api import CompareRequest, Reply, Request, RequestError, ScoreRequest
from worker.engine.batching.comparison_queue import ComparisonQueue, PendingComparison, TextComparer
from worker.engine.batching.decoding import UnsatisfiableGrammarError, accept_tokens, append_draft_tokens
from worker.engine.batching.request_state import RequestState, encode_request
from worker.engine.batching.scheduler import BatchBudget, Scheduler
from worker.engine.batching.sequences import MAX_DRAFT_TOKENS, Continuation, ForwardBatch, Prefix
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.grammar import GrammarCompiler
from worker.telemetry.usage_meter import UsageMeter

log = logging.getLogger(__name__)

_GUESSING_TOKENS = 96
"""Tokens of a step up to which tokens are looked up: where weights are what a step waits for, verifying one
costs a tenth of the step that it saves, and nine of ten are right (docs/results/performance.md)."""

Logits = Mapping[Continuation, npt.NDArray[np.float32]]


class OutOfMemoryError(Exception):
    """The network ran out of memory in a step, and keeps nothing of what it had read."""

    def __init__(self, batch: ForwardBatch) -> None:
        super().__init__(f"a step of {batch.num_tokens} tokens")
        self.batch = batch


class ModelRunner(Protocol):
    """The network with its cache of keys and values."""

    context_tokens: int

    def run(self, batch: ForwardBatch) -> Logits:
        """For each branch of the step its logits: [wanted in its piece, columns or vocabulary].

        Raises OutOfMemoryError.
        """
        ...


class BatchedEngine:
    """Engine over one network; `answer` may be called from any number of threads."""

    def __init__(
        self,
        runner: ModelRunner,
        chat: Chat,
        grammars: GrammarCompiler,
        *,
        max_rows: int,
        max_tokens: int,
        meaning: TextComparer | None = None,
        meter: UsageMeter | None = None,
    ) -> None:
        self._runner = runner
        self._comparisons = ComparisonQueue(meaning)
        self._meter = meter or UsageMeter()
        self._watch = self._meter.stopwatch()
        self._chat = chat
        self._grammars = grammars
        self._scheduler = Scheduler(max_rows=max_rows, max_tokens=max_tokens)
        self._budget = BatchBudget(max_rows=max_rows, max_tokens=max_tokens)
        self._asked: dict[Continuation, RequestState] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._thread.start()

    @property
    def context_tokens(self) -> int:
        return min(self._runner.context_tokens, self._budget.max_tokens)

    def count_tokens(self, text: str) -> int:
        return len(self._chat.plain(text))

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        """Replies in the order of the requests; blocks until the last of them is there."""
        with self._meter.timing("read"):
            prepared = [self._prepare(request) for request in requests]
        self._meter.add(requests=len(requests))
        asked = [one for one in prepared if isinstance(one, RequestState)]
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the engine is closed")
            for one in asked:
                one.is_urgent = is_urgent
            self._add(asked)
            comparing = [one for one in prepared if isinstance(one, PendingComparison)]
            self._comparisons.add(comparing, is_urgent=is_urgent)
            self._changed.notify_all()
        with self._meter.timing("wait"):
            return [one if isinstance(one, RequestError) else one.reply.result() for one in prepared]

    def forget(self) -> None:
        """What is kept for later questions; what is asked again is read again."""
        with self._changed:
            self._scheduler.prefix_cache.forget_resting()
        self._comparisons.forget()

    def close(self) -> None:
        """Ends the engine thread after the step in progress; what is unanswered is refused."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _prepare(self, request: Request) -> RequestState | PendingComparison | RequestError:
        if isinstance(request, CompareRequest):
            return self._comparisons.prepare(request)
        limit = self.context_tokens
        return encode_request(request, self._chat, self._grammars, context_tokens=limit, meter=self._meter)

    def _serve(self) -> None:
        while self._wait():
            try:
                self._compare()
                if not self._scheduler.is_idle:
                    self._step()
            except OutOfMemoryError as error:
                log.warning("out of memory with %d branches writing", len(self._scheduler.running))
                self._after_out_of_memory(error.batch)
            except Exception as error:  # noqa: BLE001  one bad batch must not end the thread all others wait for
                log.error("the engine's step failed: %s", type(error).__name__)
                self._refuse_all(RequestError("crashed", type(error).__name__))

    def _compare(self) -> None:
        if self._comparisons:
            self._watch.lap("schedule")
            self._comparisons.make()
            self._watch.lap("prefill")

    def _step(self) -> None:
        batch = self._schedule()
        logits = self._run(batch)
        self._conclude(batch, logits)

    def _wait(self) -> bool:
        """Until there is something to do; False once the engine is closed."""
        with self._changed, self._watch.idle():
            self._changed.wait_for(self._has_work)
        if self._is_closed:
            self._refuse_all(RequestError("crashed", "the engine was closed"))
        return not self._is_closed

    def _has_work(self) -> bool:
        return self._is_closed or bool(self._comparisons) or not self._scheduler.is_idle

    def _schedule(self) -> ForwardBatch:
        writing = self._scheduler.running
        most = min(MAX_DRAFT_TOKENS, _GUESSING_TOKENS // len(writing) - 1) if writing else 0
        for continuation in writing:
            self._meter.add(proposed_tokens=append_draft_tokens(self._asked[continuation], most))
        with self._changed:
            return self._scheduler.schedule()

    def _run(self, batch: ForwardBatch) -> Logits:
        self._watch.lap("schedule")
        logits = self._runner.run(batch)
        self._count(batch)
        return logits

    def _conclude(self, batch: ForwardBatch, logits: Logits) -> None:
        """Advances what the step computed by what the network said, and lets the finished go."""
        for chunk in batch.chunks:
            chunk.sequence.num_computed_tokens = chunk.stop
        finished = [one for one in batch.continuations if self._goes(one, logits[one])]
        with self._changed:
            self._scheduler.leave(finished)
        for continuation in finished:
            self._asked.pop(continuation).resolve(logits[continuation], self._chat)
        self._budget.went_well(self._scheduler)

    def _goes(self, continuation: Continuation, logits: npt.NDArray[np.float32]) -> bool:
        """Whether it is answered now."""
        asked = self._asked[continuation]
        if isinstance(asked.request, ScoreRequest):
            self._meter.add(decided_places=len(logits))
            return True
        self._watch.lap("schedule")
        try:
            self._meter.add(**accept_tokens(asked, logits, self._grammars))
        except UnsatisfiableGrammarError:
            asked.error = RequestError("unparsable", "the grammar cannot be satisfied")
            return True
        finally:
            self._watch.lap("constrain" if asked.matcher is not None else "schedule")
        return asked.is_finished

    def _count(self, batch: ForwardBatch) -> None:
        """Tells the meter of a step that the network has just run."""
        read = sum(chunk.num_tokens for chunk in batch.chunks if isinstance(chunk.sequence, Prefix))
        own = sum(len(continuation.tokens) for continuation in batch.started)
        self._watch.step(
            prefill_tokens=read + own,
            decode_tokens=batch.num_tokens - read - own,
            rows=len(batch.continuations),
        )
        seen = sum(len(one.tokens) for continuation in batch.started for one in continuation.prefixes)
        self._meter.add(shared_tokens=seen - read)

    def _add(self, asked: Sequence[RequestState]) -> None:
        continuations = [one.start(self._scheduler.prefix_cache) for one in asked]
        self._asked |= zip(continuations, asked, strict=True)
        for is_urgent in (True, False):
            some = [b for b, one in zip(continuations, asked, strict=True) if one.is_urgent is is_urgent]
            self._scheduler.add(some, is_urgent=is_urgent)

    def _after_out_of_memory(self, batch: ForwardBatch) -> None:
        """Halves the budget and begins again; what had the memory to itself, twice, is refused instead."""
        with self._changed:
            hopeless = self._alone_in(batch) if self._budget.is_just_halved else []
            refused = [self._asked.pop(continuation) for continuation in hopeless]
            others = list(self._asked.values())
            self._asked = {}
            self._scheduler.drop_all()
            if refused:
                self._budget.refused()
            else:
                self._budget.halve(self._scheduler)
            self._add(others)
        for one in refused:
            detail = f"{one.planned_tokens} tokens alone do not fit into memory"
            one.reply.set_result(RequestError("out_of_memory", detail))

    def _alone_in(self, batch: ForwardBatch) -> list[Continuation]:
        """The branches that need what a step computed, where nothing else was in memory; else none."""
        computed = {chunk.sequence for chunk in batch.chunks} | self._scheduler.prefix_cache.placed
        return [one for one in self._asked if computed <= {one, *one.prefixes}]

    def _refuse_all(self, refusal: RequestError) -> None:
        with self._changed:
            asked = list(self._asked.values())
            self._asked = {}
            self._scheduler.drop_all()
        for one in asked:
            one.reply.set_result(refusal)
        self._comparisons.refuse(refusal)
