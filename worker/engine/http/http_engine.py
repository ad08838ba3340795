"""The engine for those who outgrow one machine: the same prompts, as tokens, to a server over HTTP.

It speaks the OpenAI-compatible API of vLLM and llama.cpp's server. The tokenizer is here, the network is
there; no torch. A choice is one token asked for at each place, in order, so that the server's prefix
cache serves all but the new tokens.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from queue import PriorityQueue

import numpy as np

from models.settings import Settings
from worker.engine.api import (
    CompareRequest,
    GenerateRequest,
    GenerateResult,
    Reply,
    Request,
    RequestError,
    ScoreRequest,
    ScoreResult,
    Scores,
)
from worker.engine.http.completions import (
    Completion,
    GrammarFormat,
    MalformedAnswerError,
    generation_body,
    parse_completion,
    parse_log_probabilities,
    scoring_body,
)
from worker.engine.http.http_client import ServerClient
from worker.engine.output_formats import OutputFormat, OutputFormatError
from worker.engine.prompting.chat_template import Chat, token_positions
from worker.engine.prompting.tokenizer import load_chat
from worker.telemetry.usage_meter import UsageMeter
from worker.weights.model_files import prepared_folder

_CLOSED = RequestError("crashed", "the engine was closed")


@dataclass(order=True, slots=True)
class _QueuedRequest:
    """A request on its way; the least is next."""

    rank: tuple[int, int]
    """0 for urgent ones, 1 for others; then the order in which they came."""
    request: Request | None = field(compare=False)
    """None ends a thread."""
    deadline: float = field(compare=False, default=0.0)
    reply: Future[Reply] = field(compare=False, default_factory=Future)


class HttpEngine:
    """Engine over one server; `answer` may be called from any number of threads."""

    def __init__(
        self,
        server: ServerClient,
        chat: Chat,
        *,
        context_tokens: int,
        grammar: GrammarFormat,
        concurrency: int,
        patience_seconds: float,
        meter: UsageMeter | None = None,
    ) -> None:
        """`patience_seconds`: after that nobody waits for an answer any more."""
        self._server, self._chat, self._grammar = server, chat, grammar
        self._context_tokens = context_tokens
        self._patience_seconds = patience_seconds
        self._meter = meter or UsageMeter()
        self._numbers = count()
        self._queue: PriorityQueue[_QueuedRequest] = PriorityQueue()
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"http-{number}", daemon=True)
            for number in range(concurrency)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def context_tokens(self) -> int:
        return self._context_tokens

    def count_tokens(self, text: str) -> int:
        return len(self._chat.plain(text))

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        """Replies in the order of the requests; blocks until the last of them is there."""
        if self._is_closed:
            raise RuntimeError("the engine is closed")
        deadline = time.monotonic() + self._patience_seconds
        asked = [
            _QueuedRequest((1 - is_urgent, next(self._numbers)), request, deadline) for request in requests
        ]
        for one in asked:
            self._queue.put(one)
        self._meter.add(requests=len(asked))
        with self._meter.timing("wait"):
            return [one.reply.result() for one in asked]

    def close(self) -> None:
        """What is unanswered is refused."""
        self._is_closed = True
        self._server.close()
        for _ in self._threads:
            self._queue.put(_QueuedRequest((2, next(self._numbers)), None))

    def _serve(self) -> None:
        while (asked := self._queue.get()).request is not None:
            try:
                reply = _CLOSED if self._is_closed else self._reply(asked.request, asked.deadline)
            except Exception as error:  # noqa: BLE001  one bad request must not end the thread others wait for
                reply = _CLOSED if self._is_closed else RequestError("crashed", type(error).__name__)
            asked.reply.set_result(reply)

    def _reply(self, request: Request, deadline: float) -> Reply:
        if time.monotonic() > deadline:
            return RequestError("timed_out", "it waited too long for its turn")
        try:
            if isinstance(request, ScoreRequest):
                return self._decide(request, deadline)
            if isinstance(
                request, CompareRequest
            ):  # asked only with an adapter, which this engine has none of
                return RequestError("crashed", "this engine does not compare")
            return self._write(request, deadline)
        except MalformedAnswerError as error:
            return RequestError("unparsable", str(error))

    def _decide(self, request: ScoreRequest, deadline: float) -> ScoreResult | RequestError:
        prompt = self._chat.encode(request.prompt).tokens
        copied, offsets = self._chat.plain_with_offsets(request.copy)
        if refusal := self._too_long(len(prompt) + len(copied) + 1):
            return refusal
        scores = []
        for choice in request.choices:
            places = token_positions(choice, offsets)
            words = [self._chat.plain(word)[0] for word in choice.words]
            found = np.zeros((len(places), len(words)), np.float32)
            for row, place in enumerate(places):
                body = scoring_body(prompt + copied[: place + 1], words)
                answer = self._server.complete(body, deadline=deadline)
                if isinstance(answer, RequestError):
                    return answer
                found[row] = parse_log_probabilities(answer, words)
            scores.append(Scores(tuple(offsets[place] for place in places), found))
        return ScoreResult(tuple(scores), len(prompt) + len(copied))

    def _write(self, request: GenerateRequest, deadline: float) -> GenerateResult | RequestError:
        tokens = self._chat.encode(request.prompt).tokens
        room = _room(request, self._grammar)
        if refusal := self._too_long(len(tokens) + room):
            return refusal
        body = generation_body(
            tokens,
            max_tokens=room,
            end_token=self._chat.tokenizer.eos_token_id,
            output_format=request.output_format,
            grammar=self._grammar,
        )
        answer = self._server.complete(body, deadline=deadline)
        return (
            answer
            if isinstance(answer, RequestError)
            else self._formed(request.output_format, parse_completion(answer))
        )

    def _formed(self, output_format: OutputFormat | None, found: Completion) -> GenerateResult | RequestError:
        """The text as the grammar would have it: a server that cannot read a grammar may write freely."""
        text = found.text
        if output_format is not None:
            try:
                if self._grammar == "json_schema":
                    text = output_format.from_json(text)
                output_format.check(text)
            except OutputFormatError as error:
                cut = "" if found.is_complete else f", cut after {found.completion_tokens} tokens"
                return RequestError("unparsable", f"{error}{cut}")
        return GenerateResult(text, found.is_complete, found.prompt_tokens, found.completion_tokens)

    def _too_long(self, tokens: int) -> RequestError | None:
        if tokens <= self._context_tokens:
            return None
        return RequestError("too_long", f"{tokens} tokens do not fit into {self._context_tokens}")


def load(settings: Settings, meter: UsageMeter | None = None) -> HttpEngine:
    """The engine that the settings name. Raises NotemillError where the server cannot be used so."""
    chat, server = load_chat(settings), ServerClient(settings)
    served = server.served()
    return HttpEngine(
        server,
        chat,
        context_tokens=served.context_tokens or _trained_tokens(settings),
        grammar=settings.http_grammar,
        concurrency=settings.http_concurrency,
        patience_seconds=settings.time_limit_seconds,
        meter=meter,
    )


def _trained_tokens(settings: Settings) -> int:
    """The context of the weights by their own configuration, for a server that does not say its own."""
    config = json.loads((prepared_folder(settings) / "config.json").read_text("utf-8"))
    return int(config.get("max_position_embeddings", 4_096))


def _room(request: GenerateRequest, grammar: GrammarFormat) -> int:
    """JSON's quotes, commas and escapes are tokens too."""
    is_json = grammar == "json_schema" and request.output_format is not None
    return request.max_tokens * 5 // 4 + 32 if is_json else request.max_tokens
