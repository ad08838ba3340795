"""Recorded network replies: an engine that answers from a file, and one that records a real engine.

Requests are looked up by their content, serialised field by field, so that renaming a class or a field never
changes a key. Log-probabilities are stored as float16.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worker.engine.api import (
    CompareRequest,
    CompareResult,
    Engine,
    GenerateResult,
    Reply,
    Request,
    RequestError,
    ScoreRequest,
    ScoreResult,
    Scores,
)

FOLDER = Path(__file__).parent
REPLIES = FOLDER / "replies.npz"
TEXTS = FOLDER / "replies.json.gz"
_TOKEN = re.compile(r"\w{1,4}|[^\w\s]")


class MissingReplyError(Exception):
    """Requests have no recorded reply; the message says what to type."""


def content_of(request: Request) -> list[Any]:
    """The content of a request as JSON values."""
    if isinstance(request, CompareRequest):
        return ["compare", request.query, list(request.texts)]
    prompt = request.prompt
    turn = [prompt.document, prompt.question, prompt.answer_start, prompt.uses_adapter]
    if isinstance(request, ScoreRequest):
        choices = [
            [list(choice.words), None if choice.ends is None else list(choice.ends)]
            for choice in request.choices
        ]
        return ["decide", turn, request.copy, choices, request.is_question_cached]
    return [
        "write",
        turn,
        request.max_tokens,
        request.output_format.lark() if request.output_format else None,
    ]


def key_of(request: Request) -> str:
    """16 hex digits that identify the content of a request."""
    canonical = json.dumps(content_of(request), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Recordings:
    """Replies by the key of their request."""

    def __init__(self, replies: dict[str, Reply] | None = None) -> None:
        self.replies = replies or {}

    @classmethod
    def read(cls) -> Recordings:
        """The committed recordings; empty where there are none."""
        if not TEXTS.exists():
            return cls()
        index = json.loads(gzip.decompress(TEXTS.read_bytes()))
        with np.load(REPLIES) as arrays:
            numbers, ends = arrays["log_probabilities"].astype(np.float32), arrays["spans"]
        replies, at, span_at = {}, 0, 0
        for key, stored in index:
            match stored[0]:
                case "compare":
                    replies[key] = CompareResult(tuple(stored[1]))
                case "write":
                    replies[key] = GenerateResult(stored[1], stored[2], stored[3], stored[4])
                case "refuse":
                    replies[key] = RequestError(stored[1], stored[2])
                case "decide":
                    scores = []
                    for rows, columns in stored[2]:
                        spans = tuple((int(start), int(end)) for start, end in ends[span_at : span_at + rows])
                        values = numbers[at : at + rows * columns].reshape(rows, columns)
                        scores.append(Scores(spans, values))
                        at, span_at = at + rows * columns, span_at + rows
                    replies[key] = ScoreResult(tuple(scores), stored[1])
        return cls(replies)

    def write(self) -> None:
        """Writes all recordings, in the order of their keys."""
        index, numbers, spans = [], [], []
        for key, reply in sorted(self.replies.items()):
            if isinstance(reply, CompareResult):
                index.append([key, ["compare", [round(value, 4) for value in reply.similarities]]])
            elif isinstance(reply, GenerateResult):
                stored = [
                    "write",
                    reply.text,
                    reply.is_complete,
                    reply.prompt_tokens,
                    reply.completion_tokens,
                ]
                index.append([key, stored])
            elif isinstance(reply, RequestError):
                index.append([key, ["refuse", reply.reason, reply.detail]])
            else:
                shapes = [list(score.log_probabilities.shape) for score in reply.scores]
                index.append([key, ["decide", reply.prompt_tokens, shapes]])
                numbers += [score.log_probabilities.astype(np.float16).ravel() for score in reply.scores]
                spans += [np.asarray(score.spans, np.int32).reshape(-1, 2) for score in reply.scores]
        np.savez_compressed(REPLIES, log_probabilities=np.concatenate(numbers), spans=np.concatenate(spans))
        TEXTS.write_bytes(gzip.compress(json.dumps(index, ensure_ascii=False).encode(), mtime=0))


class ReplayEngine:
    """Answers from recordings. Token counts are estimates that need no tokenizer."""

    context_tokens = 4_096

    def __init__(self, recordings: Recordings) -> None:
        self._replies = recordings.replies
        self.keys: list[str] = []
        """Keys of all requests since `keys` was last cleared."""
        self.requests: list[Request] = []

    def count_tokens(self, text: str) -> int:
        return len(_TOKEN.findall(text)) + 1

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        keys = [key_of(request) for request in requests]
        self.keys += keys
        self.requests += requests
        missing = sum(key not in self._replies for key in keys)
        if missing:
            raise MissingReplyError(
                f"{missing} requests have no recorded reply: type scripts/behaviour --record"
            )
        return [self._replies[key] for key in keys]


class RecordingEngine(ReplayEngine):
    """Asks a real engine for replies that are not recorded yet."""

    def __init__(self, recordings: Recordings, engine: Engine) -> None:
        super().__init__(recordings)
        self._engine = engine
        self.used: set[str] = set()

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        missing = [request for request in requests if key_of(request) not in self._replies]
        if missing:
            for request, reply in zip(missing, self._engine.answer(missing), strict=True):
                self._replies[key_of(request)] = _quantised(reply)
        self.used |= {key_of(request) for request in requests}
        return super().answer(requests)


def _quantised(reply: Reply) -> Reply:
    """Rounds a reply as storing and reading it does."""
    if isinstance(reply, CompareResult):
        return CompareResult(tuple(round(value, 4) for value in reply.similarities))
    if isinstance(reply, ScoreResult):
        scores = tuple(
            Scores(score.spans, np.asarray(score.log_probabilities).astype(np.float16).astype(np.float32))
            for score in reply.scores
        )
        return ScoreResult(scores, reply.prompt_tokens)
    return reply
