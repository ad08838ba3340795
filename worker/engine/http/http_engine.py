"""Engine over an OpenAI-compatible server, such as vLLM or llama.cpp's: sends the same prompts as tokens over
HTTP.

The tokenizer runs here, the network on the server; does not import torch. A choice is one request for a token
at each position, in order, so that the server's prefix cache holds all but the new tokens.
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
    """A request in the queue, ordered by rank."""

    rank: tuple[int, int]
    """0 for urgent requests, 1 for others, 2 for the end; then the order of arrival."""
    request: Request | None = field(compare=False)
    """None ends the thread that takes it."""
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
        """`patience_seconds`: time after which nobody waits for a reply any more."""
        self._server, self._chat, self._grammar = server, chat, grammar
        self._context_tokens = context_tokens
        self._patience_seconds = patience_seconds
        self._meter = meter or UsageMeter()
        self._counter = count()
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
        """Replies in the order of the requests; blocks until all are there."""
        if self._is_closed:
            raise RuntimeError("the engine is closed")
        deadline = time.monotonic() + self._patience_seconds
        queued = [
            _QueuedRequest((1 - is_urgent, next(self._counter)), request, deadline) for request in requests
        ]
        for item in queued:
            self._queue.put(item)
        self._meter.add(requests=len(queued))
        with self._meter.timing("wait"):
            return [item.reply.result() for item in queued]

    def close(self) -> None:
        """Stops the threads; open requests get a RequestError."""
        self._is_closed = True
        self._server.close()
        for _ in self._threads:
            self._queue.put(_QueuedRequest((2, next(self._counter)), None))

    def _serve(self) -> None:
        while (queued := self._queue.get()).request is not None:
            try:
                reply = _CLOSED if self._is_closed else self._reply(queued.request, queued.deadline)
            except Exception as error:  # noqa: BLE001  a failed request must not end the thread
                reply = _CLOSED if self._is_closed else RequestError("crashed", type(error).__name__)
            queued.reply.set_result(reply)

    def _reply(self, request: Request, deadline: float) -> Reply:
        if time.monotonic() > deadline:
            return RequestError("timed_out", "the request waited too long in the queue")
        try:
            if isinstance(request, ScoreRequest):
                return self._score(request, deadline)
            if isinstance(request, CompareRequest):
                # Tasks compare only with an adapter, which this engine does not have.
                return RequestError("crashed", "this engine does not compare")
            return self._generate(request, deadline)
        except MalformedAnswerError as error:
            return RequestError("unparsable", str(error))

    def _score(self, request: ScoreRequest, deadline: float) -> ScoreResult | RequestError:
        prompt = self._chat.encode(request.prompt).tokens
        copy_tokens, offsets = self._chat.plain_with_offsets(request.copy)
        if error := self._too_long(len(prompt) + len(copy_tokens) + 1):
            return error
        scores = []
        for choice in request.choices:
            positions = token_positions(choice, offsets)
            words = [self._chat.plain(word)[0] for word in choice.words]
            log_probabilities = np.zeros((len(positions), len(words)), np.float32)
            for row, position in enumerate(positions):
                body = scoring_body(prompt + copy_tokens[: position + 1], words)
                answer = self._server.complete(body, deadline=deadline)
                if isinstance(answer, RequestError):
                    return answer
                log_probabilities[row] = parse_log_probabilities(answer, words)
            scores.append(Scores(tuple(offsets[position] for position in positions), log_probabilities))
        return ScoreResult(tuple(scores), len(prompt) + len(copy_tokens))

    def _generate(self, request: GenerateRequest, deadline: float) -> GenerateResult | RequestError:
        tokens = self._chat.encode(request.prompt).tokens
        token_limit = _token_limit(request, self._grammar)
        if error := self._too_long(len(tokens) + token_limit):
            return error
        body = generation_body(
            tokens,
            max_tokens=token_limit,
            end_token=self._chat.tokenizer.eos_token_id,
            output_format=request.output_format,
            grammar=self._grammar,
        )
        answer = self._server.complete(body, deadline=deadline)
        if isinstance(answer, RequestError):
            return answer
        return self._format_checked(request.output_format, parse_completion(answer))

    def _format_checked(
        self, output_format: OutputFormat | None, completion: Completion
    ) -> GenerateResult | RequestError:
        """The completion after a check of its format: a server without grammars may generate any text."""
        text = completion.text
        if output_format is not None:
            try:
                if self._grammar == "json_schema":
                    text = output_format.from_json(text)
                output_format.check(text)
            except OutputFormatError as error:
                cut = "" if completion.is_complete else f", cut after {completion.completion_tokens} tokens"
                return RequestError("unparsable", f"{error}{cut}")
        return GenerateResult(
            text, completion.is_complete, completion.prompt_tokens, completion.completion_tokens
        )

    def _too_long(self, tokens: int) -> RequestError | None:
        if tokens <= self._context_tokens:
            return None
        return RequestError("too_long", f"{tokens} tokens do not fit into {self._context_tokens}")


def load(settings: Settings, meter: UsageMeter | None = None) -> HttpEngine:
    """Loads the engine of the settings. Raises NotemillError if the server cannot be used with them."""
    chat, server = load_chat(settings), ServerClient(settings)
    served_model = server.served()
    return HttpEngine(
        server,
        chat,
        context_tokens=served_model.context_tokens or _config_context_tokens(settings),
        grammar=settings.http_grammar,
        concurrency=settings.http_concurrency,
        patience_seconds=settings.time_limit_seconds,
        meter=meter,
    )


def _config_context_tokens(settings: Settings) -> int:
    """Context length by the configuration of the weights, for a server that does not report it."""
    config = json.loads((prepared_folder(settings) / "config.json").read_text("utf-8"))
    return int(config.get("max_position_embeddings", 4_096))


def _token_limit(request: GenerateRequest, grammar: GrammarFormat) -> int:
    """Tokens to generate: quotes, commas and escapes of JSON need more."""
    is_json = grammar == "json_schema" and request.output_format is not None
    return request.max_tokens * 5 // 4 + 32 if is_json else request.max_tokens
