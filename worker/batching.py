"""One engine thread that many threads ask: requests in, batches through the network, replies out.

Knows no torch: the network is behind `Runner`. A request that cannot be answered is a Refusal
in its place; an error of the network refuses what was in the batch and the thread goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from worker.chat import Chat
from worker.engine import Decide, Decided, Refusal, Reply, Request, Write, Written
from worker.grammar import Grammars
from worker.scheduling import Row, Scheduler, Step

log = logging.getLogger(__name__)


class OutOfMemoryError(Exception):
    """The network ran out of memory in a step."""


class Runner(Protocol):
    """The network with its cache of keys and values."""

    context_tokens: int

    def run(self, step: Step) -> list[npt.NDArray[np.float32]]:
        """For each segment the logits at its wanted indexes: [wanted in the segment, columns or vocabulary].

        Raises OutOfMemoryError.
        """
        ...


@dataclass(slots=True, eq=False)
class _Asked:
    """A request on its way."""

    request: Request
    row: Row
    prompt_tokens: int
    reply: Future[Reply] = field(default_factory=Future)
    decided: list[npt.NDArray[np.float32]] = field(default_factory=list)
    spans: tuple[tuple[int, int], ...] = ()
    matcher: Any = None
    is_complete: bool = False


class BatchedEngine:
    """Engine over one network; `answer` may be called from any number of threads."""

    def __init__(
        self, runner: Runner, chat: Chat, grammars: Grammars, *, max_rows: int, max_tokens: int
    ) -> None:
        self._runner = runner
        self._chat = chat
        self._grammars = grammars
        self._end_token: int = chat.tokenizer.eos_token_id
        self._scheduler = Scheduler(max_rows=max_rows, max_tokens=max_tokens)
        self._asked: dict[Row, _Asked] = {}
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="engine", daemon=True)
        self._thread.start()

    @property
    def context_tokens(self) -> int:
        return min(self._runner.context_tokens, self._scheduler.max_tokens)

    def count_tokens(self, text: str) -> int:
        return len(self._chat.plain(text))

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:  # noqa: ARG002
        """Replies in the order of the requests; blocks until the last of them is there."""
        prepared = [self._prepare(request) for request in requests]
        asked = [one for one in prepared if isinstance(one, _Asked)]
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the engine is closed")
            self._asked.update({one.row: one for one in asked})
            self._scheduler.add([one.row for one in asked])
            self._changed.notify_all()
        return [one.reply.result() if isinstance(one, _Asked) else one for one in prepared]

    def close(self) -> None:
        """Ends the engine thread after the step in progress; what is unanswered is refused."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or not self._scheduler.is_idle)
                if self._is_closed:
                    self._refuse_all(Refusal("crashed", "the engine was closed"))
                    return
                step = self._scheduler.schedule()
            try:
                self._conclude(step, self._runner.run(step))
            except OutOfMemoryError:
                log.warning("out of memory with %d rows in the batch", len(step.segments))
                self._after_out_of_memory()
            except Exception as error:  # noqa: BLE001  one bad batch must not end the thread all others wait for
                log.error("the engine's step failed: %s", type(error).__name__)
                with self._changed:
                    self._refuse_all(Refusal("crashed", type(error).__name__))

    def _prepare(self, request: Request) -> _Asked | Refusal:
        encoded = self._chat.encode(request.prompt)
        asked = (
            self._prepare_decide(request, encoded.tokens, encoded.shared_tokens)
            if isinstance(request, Decide)
            else self._prepare_write(request, encoded.tokens, encoded.shared_tokens)
        )
        if asked.row.planned_tokens > self.context_tokens:
            detail = f"{asked.row.planned_tokens} tokens do not fit into {self.context_tokens}"
            return Refusal("too_long", detail)
        return asked

    def _prepare_decide(self, request: Decide, tokens: list[int], shared: int) -> _Asked:
        copied, offsets = self._chat.plain_with_offsets(request.copy)
        places = range(len(copied)) if request.ends is None else _tokens_at(request.ends, offsets)
        row = Row(
            tokens=tokens + copied,
            columns=tuple(self._chat.plain(word)[0] for word in request.words),
            shared_tokens=shared,
            wanted=tuple(len(tokens) + place for place in places),
            planned_tokens=len(tokens) + len(copied),
            is_adapted=request.prompt.is_adapted,
        )
        spans = tuple(offsets[place] for place in places)
        return _Asked(request, row, row.planned_tokens, spans=spans)

    def _prepare_write(self, request: Write, tokens: list[int], shared: int) -> _Asked:
        row = Row(
            tokens=tokens,
            shared_tokens=shared,
            wanted=(len(tokens) - 1,),
            planned_tokens=len(tokens) + request.max_tokens,
            is_adapted=request.prompt.is_adapted,
        )
        matcher = self._grammars.matcher(request.grammar) if request.grammar is not None else None
        return _Asked(request, row, len(tokens), matcher=matcher)

    def _conclude(self, step: Step, logits: list[npt.NDArray[np.float32]]) -> None:
        """Advances every row of the step by what the network said, and lets the finished ones go."""
        writing: list[tuple[_Asked, npt.NDArray[np.float32]]] = []
        for segment, found in zip(step.segments, logits, strict=True):
            asked = self._asked[segment.row]
            segment.row.computed_tokens = segment.stop
            if isinstance(asked.request, Decide):
                asked.decided.append(_normalised(found))
            elif segment.stop == len(segment.row.tokens):
                writing.append((asked, found[-1]))
        self._write_next(writing)
        finished = [segment.row for segment in step.segments if self._is_finished(self._asked[segment.row])]
        with self._changed:
            self._scheduler.leave(set(finished).__contains__)
        for row in finished:
            asked = self._asked.pop(row)
            asked.reply.set_result(self._reply(asked))

    def _write_next(self, writing: list[tuple[_Asked, npt.NDArray[np.float32]]]) -> None:
        constrained = [asked for asked, _ in writing if asked.matcher is not None]
        masks = iter(self._grammars.allowed([asked.matcher for asked in constrained]) if constrained else ())
        for asked, scores in writing:
            if asked.matcher is not None:
                scores = np.where(next(masks), scores, -np.inf)
            self._advance(asked, int(scores.argmax()))

    def _advance(self, asked: _Asked, token: int) -> None:
        """Takes the chosen token, and those that the grammar forces after it, into the row."""
        row, request = asked.row, asked.request
        assert isinstance(request, Write)
        room = request.max_tokens - (len(row.tokens) - asked.prompt_tokens)
        if token == self._end_token:
            asked.is_complete = True
            return
        written = [token]
        if asked.matcher is not None:
            asked.matcher.consume_token(token)
            forced = asked.matcher.compute_ff_tokens()[: room - 1]
            asked.matcher.try_consume_tokens(forced)
            written += [one for one in forced if one != self._end_token]
            asked.is_complete = asked.matcher.is_stopped()
        row.tokens.extend(written)
        row.wanted = (len(row.tokens) - 1,)

    def _is_finished(self, asked: _Asked) -> bool:
        row = asked.row
        if isinstance(asked.request, Decide):
            return row.computed_tokens == len(row.tokens)
        return asked.is_complete or len(row.tokens) - asked.prompt_tokens >= asked.request.max_tokens

    def _reply(self, asked: _Asked) -> Reply:
        if isinstance(asked.request, Decide):
            return Decided(asked.spans, np.concatenate(asked.decided), asked.prompt_tokens)
        written = asked.row.tokens[asked.prompt_tokens :]
        return Written(self._chat.decode(written), asked.is_complete, asked.prompt_tokens, len(written))

    def _after_out_of_memory(self) -> None:
        """Halves the batch; rows begin again, and a row that was alone is refused."""
        with self._changed:
            if len(self._scheduler.running) <= 1:
                self._refuse_all(Refusal("out_of_memory", "one sequence alone does not fit"))
                return
            rows = self._scheduler.drop_all()
            self._scheduler.max_rows = max(1, self._scheduler.max_rows // 2)
            self._scheduler.max_tokens = max(self._scheduler.max_tokens // 2, 1)
            for row in rows:
                asked = self._asked[row]
                row.computed_tokens, row.slot, asked.decided = 0, -1, []
            self._scheduler.add(rows)

    def _refuse_all(self, refusal: Refusal) -> None:
        for row in self._scheduler.drop_all():
            self._asked.pop(row).reply.set_result(refusal)


def _normalised(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log-softmax over the columns; shape [rows, words]."""
    shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
    normalised: npt.NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised


def _tokens_at(ends: tuple[int, ...], offsets: list[tuple[int, int]]) -> list[int]:
    """For each character end the first token that reaches it; the last token where none does."""
    places, place = [], 0
    for end in ends:
        while place < len(offsets) - 1 and offsets[place][1] < end:
            place += 1
        places.append(place)
    return places
