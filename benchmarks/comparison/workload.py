"""What every engine of a comparison is asked, and what it answers: the written form of the three tasks.

The questions are those of the worker's own tasks, taken from their conversations; only their first
round, since later ones depend on answers: of a note longer than a summary's window the parts' summaries.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from models.labels import load_labels
from models.settings import Settings
from worker.engine.api import GenerateRequest, Prompt
from worker.engine.output_formats import EntityList
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.prompt_templates import prompt
from worker.entities.entity_task import ask_entities
from worker.note.parsed_note import Note
from worker.summary.summary_task import ask_summary
from worker.weights.task_config import task_config

QUERY = "What is the plan and follow-up?"
SEARCH_QUESTION = (
    "Quote the parts of the clinical note above that answer the query, word for word, separated by "
    "semicolons. Write none if no part does.\nQuery: {query}"
)
"""There is no written search in the worker; this is how its list of entities would ask for one."""


@dataclass(frozen=True, slots=True)
class BenchmarkPrompt:
    """One prompt with its constraint and limit."""

    note: int
    """Which note, so that an engine may keep a note's prompts together."""
    job: str
    """entities, search or summary."""
    prompt: Prompt
    max_tokens: int
    lark: str
    request: GenerateRequest | None = None
    """The same in the worker's own noun; none where only peers are asked."""


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """What was written after the prompt, without the end token."""

    text: str
    num_tokens: int
    tokens: tuple[int, ...] = ()
    """Where the engine tells them: the same text can be spelled in tokens in many ways."""


class Contender(Protocol):
    """An engine in the comparison. Everything but `answer` is outside of the measured time."""

    name: str
    tuning: dict[str, Any]
    """What was chosen, and under `tried` what else was measured, in requests a second."""

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        """Loads, tunes on the sample and warms up."""
        ...

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        """The answers in the order of what was asked; tokenization and grammars included."""
        ...

    def forget(self) -> None:
        """Before a round: prompts that it has cached of the round before would be no work."""

    def close(self) -> None:
        """Frees what `prepare` took."""
        ...


def read_notes(path: Path, limit: int) -> list[str]:
    """The texts of the first `limit` records of a JSON-lines file with a field `text`."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line, _ in zip(lines, range(limit), strict=False)]


def generation_prompts(texts: Sequence[str], chat: Chat, settings: Settings) -> list[BenchmarkPrompt]:
    """The prompts of all three tasks on all notes, note after note."""
    config = task_config(settings.model_copy(update={"entities_form": "list", "summary_form": "written"}))
    labels = load_labels(settings.labels_file)
    prompts: list[BenchmarkPrompt] = []
    for index, text in enumerate(texts):
        note = Note.of(
            text, lambda piece: len(chat.plain(piece)), config.window_tokens, config.summary_window_tokens
        )
        lists = next(ask_entities(note, labels, config))
        sections = next(ask_summary(note, settings.summary_words, config))
        prompts += [_asked(index, "entities", one) for one in lists]
        prompts += [_asked(index, "search", one) for one in _quotations(lists)]
        prompts += [_asked(index, "summary", one) for one in sections]
    return prompts


def lark_of(request: GenerateRequest) -> str:
    """The constraint of a request as Lark text. The only place here that knows how a request carries it."""
    assert request.output_format is not None
    return request.output_format.lark()


def _asked(note: int, job: str, request: GenerateRequest) -> BenchmarkPrompt:
    return BenchmarkPrompt(note, job, request.prompt, request.max_tokens, lark_of(request), request)


def _quotations(lists: Sequence[GenerateRequest]) -> list[GenerateRequest]:
    """A search of each window: the constraint of a list of entities, under another question."""
    by_window = {
        request.output_format.text: request
        for request in lists
        if isinstance(request.output_format, EntityList)
    }
    question = SEARCH_QUESTION.format(query=QUERY)
    return [
        replace(
            request,
            prompt=replace(prompt("search", text, query=QUERY), question=question, answer_start="Answer:"),
        )
        for text, request in by_window.items()
    ]
