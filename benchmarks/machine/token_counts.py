"""Tokens that a note of a given length costs: counts the pipeline's own requests.

The counted engine is a real one, whose rate can be measured at the same time, or one that finds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np

from models.answers import Task
from models.jobs import Job, Question, Work
from models.labels import load_labels
from models.outcomes import Failed
from models.settings import Settings
from worker.engine.api import (
    Choice,
    CompareRequest,
    CompareResult,
    Engine,
    GenerateRequest,
    GenerateResult,
    Reply,
    Request,
    ScoreRequest,
    ScoreResult,
    Scores,
)
from worker.engine.output_formats import EntityList
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.label_words import OUTSIDE_WORD
from worker.pipeline import process
from worker.weights.task_config import task_config

ASSUMED_GENERATED_TOKENS = 40
"""Tokens of one generated answer when nothing is really generated: two short sentences, an assumption."""
QUESTIONS = (
    Question(task=Task.ENTITIES),
    Question(task=Task.SEARCH, parameters={"query": "Is there any sign of infection?"}),
)
_NOTES = Path(__file__).parents[2] / "examples" / "notes"


@dataclass(slots=True)
class TokenCounts:
    """Counts over one or more notes."""

    notes: int = 0
    read_tokens: int = 0
    """Prefill: a window's document once for all its questions, each question, and the second copy. A cached
    question prefix is computed once for all notes and not counted."""
    document_tokens: int = 0
    """The part of `read_tokens` that is the windows' documents."""
    written_tokens: int = 0
    requests: int = 0


@dataclass(slots=True)
class CountingEngine:
    """Engine that counts the requests and passes them to `answering_engine`, if there is one."""

    chat: Chat
    answering_engine: Engine | None = None
    counted: TokenCounts = field(default_factory=TokenCounts)
    context_tokens: int = 8_192
    _lock: Lock = field(default_factory=Lock)

    def count_tokens(self, text: str) -> int:
        return len(self.chat.plain(text))

    def answer(self, requests: Sequence[Request], *, is_urgent: bool = False) -> list[Reply]:
        """Replies in the order of the requests. Without an answering engine they find nothing."""
        nothing = [self._find_nothing(request) for request in requests]
        replies = (
            self.answering_engine.answer(requests, is_urgent=is_urgent) if self.answering_engine else nothing
        )
        with self._lock:
            self._count(requests, replies)
        return replies

    def _count(self, requests: Sequence[Request], replies: Sequence[Reply]) -> None:
        shared = {}
        for request, reply in zip(requests, replies, strict=True):
            if isinstance(request, CompareRequest):
                continue
            encoded = self.chat.encode(request.prompt)
            shared[request.prompt.document, request.prompt.uses_adapter] = encoded.shared_tokens
            is_question_cached = isinstance(request, ScoreRequest) and request.is_question_cached
            self.counted.read_tokens += (
                0 if is_question_cached else len(encoded.tokens) - encoded.shared_tokens
            )
            self.counted.read_tokens += (
                self.count_tokens(request.copy) if isinstance(request, ScoreRequest) else 0
            )
            self.counted.written_tokens += reply.completion_tokens if isinstance(reply, GenerateResult) else 0
        self.counted.requests += len(requests)
        self.counted.document_tokens += sum(shared.values())
        self.counted.read_tokens += sum(shared.values())

    def _find_nothing(self, request: Request) -> Reply:
        if isinstance(request, CompareRequest):
            return CompareResult((0.0,) * len(request.texts))
        if isinstance(request, GenerateRequest):
            return GenerateResult(
                "none" if isinstance(request.output_format, EntityList) else "None.",
                True,
                0,
                ASSUMED_GENERATED_TOKENS,
            )
        tokens, offsets = self.chat.plain_with_offsets(request.copy)
        return ScoreResult(tuple(_unlikely(choice, offsets) for choice in request.choices), len(tokens))


def _unlikely(choice: Choice, offsets: Sequence[tuple[int, int]]) -> Scores:
    """Scores that select nothing anywhere."""
    spans = tuple(offsets) if choice.ends is None else tuple((0, end) for end in choice.ends)
    scores = np.full((len(spans), len(choice.words)), -20.0, np.float32)
    scores[:, choice.words.index(OUTSIDE_WORD) if OUTSIDE_WORD in choice.words else -1] = 0.0
    return Scores(spans, scores)


def answer_note(engine: CountingEngine, text: str, settings: Settings) -> None:
    """Answers entities, one search and a summary of one note. Raises RuntimeError when one fails."""
    summary = Question(task=Task.SUMMARY, parameters={"max_words": settings.summary_words})
    labels = load_labels(settings.labels_file)
    jobs = tuple(
        Job(
            id=number,
            question=question,
            recipe_id="benchmark",
            labels=labels if question.task is Task.ENTITIES else (),
            attempt=1,
        )
        for number, question in enumerate((*QUESTIONS, summary))
    )
    work = Work(document_id=1, text=text, jobs=jobs)
    rounds = process(work, engine=engine, config=task_config(settings))
    for job, outcome in (job_and_outcome for ended in rounds for job_and_outcome in ended):
        if isinstance(outcome, Failed):
            raise RuntimeError(f"{job.question.task} failed: {outcome.reason} {outcome.detail}")
    engine.counted.notes += 1


def note_of_length(chat: Chat, tokens: int, *, number: int) -> str:
    """`tokens` tokens of the example notes' text from the `number`-th note on, repeated if need be."""
    texts = [path.read_text("utf-8") for path in sorted(_NOTES.glob("*.txt")) if "odd" not in path.name]
    joined = "\n\n".join(texts[number % len(texts) :] + texts[: number % len(texts)])
    encoded, offsets = chat.plain_with_offsets(joined)
    while len(encoded) < tokens:
        joined += "\n\n" + joined
        encoded, offsets = chat.plain_with_offsets(joined)
    return joined[: offsets[tokens - 1][1]]
