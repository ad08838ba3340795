"""The local engine: one thread runs batches through the network, and any number of threads ask it.

Does not import torch: the network is behind `ModelRunner`. A request that cannot be answered gets a
RequestError as its reply. If a batch fails, its requests get one and the thread goes on.
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

_MAX_SPECULATIVE_TOKENS = 96
"""Largest batch, in tokens, with draft tokens. In small batches, verifying one costs a tenth of a pass."""

Logits = Mapping[Continuation, npt.NDArray[np.float32]]


class OutOfMemoryError(Exception):
    """The network ran out of memory in a batch, and its cache of keys and values is empty."""

    def __init__(self, batch: ForwardBatch) -> None:
        super().__init__(f"a batch of {batch.num_tokens} tokens")
        self.batch = batch


class ModelRunner(Protocol):
    """The network with its cache of keys and values."""

    context_tokens: int

    def run(self, batch: ForwardBatch) -> Logits:
        """The logits of each continuation in the batch: [logit indexes in its chunk, columns or vocabulary].

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
        comparer: TextComparer | None = None,
        meter: UsageMeter | None = None,
    ) -> None:
        """`max_rows`: continuations that generate at a time; `max_tokens`: cached tokens of all sequences."""
        self._runner = runner
        self._comparisons = ComparisonQueue(comparer)
        self._meter = meter or UsageMeter()
        self._watch = self._meter.stopwatch()
        self._chat = chat
        self._grammars = grammars
        self._scheduler = Scheduler(max_rows=max_rows, max_tokens=max_tokens)
        self._budget = BatchBudget(max_rows=max_rows, max_tokens=max_tokens)
        self._states: dict[Continuation, RequestState] = {}
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
        """Replies in the order of the requests; blocks until all are there."""
        with self._meter.timing("read"):
            prepared = [self._prepare(request) for request in requests]
        self._meter.add(requests=len(requests))
        states = [item for item in prepared if isinstance(item, RequestState)]
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the engine is closed")
            for state in states:
                state.is_urgent = is_urgent
            self._add(states)
            comparisons = [item for item in prepared if isinstance(item, PendingComparison)]
            self._comparisons.add(comparisons, is_urgent=is_urgent)
            self._changed.notify_all()
        with self._meter.timing("wait"):
            return [item if isinstance(item, RequestError) else item.reply.result() for item in prepared]

    def forget(self) -> None:
        """Evicts cached prefixes that no request uses, and cached embeddings."""
        with self._changed:
            self._scheduler.prefix_cache.evict_unused()
        self._comparisons.forget()

    def close(self) -> None:
        """Stops the engine thread after the current batch; open requests get a RequestError."""
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
                if self._comparisons:
                    self._watch.lap("schedule")
                    self._comparisons.run()
                    self._watch.lap("prefill")
                if not self._scheduler.is_idle:
                    self._run_batch()
            except OutOfMemoryError as error:
                log.warning("out of memory with %d continuations decoding", len(self._scheduler.running))
                self._after_out_of_memory(error.batch)
            except Exception as error:  # noqa: BLE001  a failed batch must not end the thread
                log.error("the engine's batch failed: %s", type(error).__name__)
                self._fail_all(RequestError("crashed", type(error).__name__))

    def _run_batch(self) -> None:
        batch = self._schedule()
        self._watch.lap("schedule")
        logits = self._runner.run(batch)
        self._count(batch)
        self._postprocess(batch, logits)

    def _wait(self) -> bool:
        """Blocks until there is work; False once the engine is closed."""
        with self._changed, self._watch.idle():
            self._changed.wait_for(self._has_work)
        if self._is_closed:
            self._fail_all(RequestError("crashed", "the engine was closed"))
        return not self._is_closed

    def _has_work(self) -> bool:
        return self._is_closed or bool(self._comparisons) or not self._scheduler.is_idle

    def _schedule(self) -> ForwardBatch:
        running = self._scheduler.running
        limit = min(MAX_DRAFT_TOKENS, _MAX_SPECULATIVE_TOKENS // len(running) - 1) if running else 0
        for continuation in running:
            self._meter.add(proposed_tokens=append_draft_tokens(self._states[continuation], limit))
        with self._changed:
            return self._scheduler.schedule()

    def _postprocess(self, batch: ForwardBatch, logits: Logits) -> None:
        """Advances the sequences of the batch by its logits, and replies to finished requests."""
        for chunk in batch.chunks:
            chunk.sequence.num_computed_tokens = chunk.stop
        finished = [sequence for sequence in batch.continuations if self._advance(sequence, logits[sequence])]
        with self._changed:
            self._scheduler.remove(finished)
        for continuation in finished:
            self._states.pop(continuation).resolve(logits[continuation], self._chat)
        self._budget.succeeded(self._scheduler)

    def _advance(self, continuation: Continuation, logits: npt.NDArray[np.float32]) -> bool:
        """Takes in the logits; True once the continuation has finished."""
        state = self._states[continuation]
        if isinstance(state.request, ScoreRequest):
            self._meter.add(decided_places=len(logits))
            return True
        self._watch.lap("schedule")
        try:
            self._meter.add(**accept_tokens(state, logits, self._grammars))
        except UnsatisfiableGrammarError:
            state.error = RequestError("unparsable", "the grammar cannot be satisfied")
            return True
        finally:
            self._watch.lap("constrain" if state.matcher is not None else "schedule")
        return state.is_finished

    def _count(self, batch: ForwardBatch) -> None:
        """Counts the tokens of a batch that the network has just computed."""
        prefix_tokens = sum(chunk.num_tokens for chunk in batch.chunks if isinstance(chunk.sequence, Prefix))
        own_tokens = sum(len(continuation.tokens) for continuation in batch.starting)
        self._watch.step(
            prefill_tokens=prefix_tokens + own_tokens,
            decode_tokens=batch.num_tokens - prefix_tokens - own_tokens,
            rows=len(batch.continuations),
        )
        required_prefix_tokens = sum(
            len(prefix.tokens) for sequence in batch.starting for prefix in sequence.prefixes
        )
        self._meter.add(shared_tokens=required_prefix_tokens - prefix_tokens)

    def _add(self, states: Sequence[RequestState]) -> None:
        continuations = [state.start(self._scheduler.prefix_cache) for state in states]
        self._states |= zip(continuations, states, strict=True)
        for is_urgent in (True, False):
            group = [
                c for c, state in zip(continuations, states, strict=True) if state.is_urgent is is_urgent
            ]
            self._scheduler.add(group, is_urgent=is_urgent)

    def _after_out_of_memory(self, batch: ForwardBatch) -> None:
        """Halves the budget and starts over; requests that failed twice with the memory to themselves end."""
        with self._changed:
            hopeless = self._alone_in(batch) if self._budget.is_just_halved else []
            failed = [self._states.pop(continuation) for continuation in hopeless]
            others = list(self._states.values())
            self._states = {}
            self._scheduler.drop_all()
            if failed:
                self._budget.request_failed()
            else:
                self._budget.halve(self._scheduler)
            self._add(others)
        for state in failed:
            detail = f"{state.planned_tokens} tokens alone do not fit into memory"
            state.reply.set_result(RequestError("out_of_memory", detail))

    def _alone_in(self, batch: ForwardBatch) -> list[Continuation]:
        """The continuations that need what the batch computed if memory held nothing else, or none."""
        computed = {chunk.sequence for chunk in batch.chunks} | self._scheduler.prefix_cache.allocated
        return [sequence for sequence in self._states if computed <= {sequence, *sequence.prefixes}]

    def _fail_all(self, error: RequestError) -> None:
        with self._changed:
            states = list(self._states.values())
            self._states = {}
            self._scheduler.drop_all()
        for state in states:
            state.reply.set_result(error)
        self._comparisons.fail_all(error)
