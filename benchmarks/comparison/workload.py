"""Prompts and answers of a comparison, in the generative form of the three tasks, and the Contender protocol.

The prompts are those of the worker's own tasks, from the first round of their coroutines. Later rounds depend
on answers, so a note longer than a summary's window is only summarized part by part.
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
from worker.entities.entity_task import extract_entities
from worker.note.parsed_note import Note
from worker.summary.summary_task import summarize
from worker.weights.task_config import task_config

QUERY = "What is the plan and follow-up?"
SEARCH_QUESTION = (
    "Quote the parts of the clinical note above that answer the query, word for word, separated by "
    "semicolons. Write none if no part does.\nQuery: {query}"
)
"""The worker does not generate search answers; this prompt follows the one of its entity lists."""


@dataclass(frozen=True, slots=True)
class BenchmarkPrompt:
    """One prompt with its grammar and token limit."""

    note: int
    """Index of the note, so that an engine can keep a note's prompts together."""
    job: str
    """entities, search or summary."""
    prompt: Prompt
    max_tokens: int
    lark: str
    request: GenerateRequest | None = None
    """The same as a request to notemill's engine; None when only peers generate."""


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """The text after the prompt, without the end token."""

    text: str
    num_tokens: int
    tokens: tuple[int, ...] = ()
    """Token ids, if the engine reports them: the same text can be tokenized in several ways."""


class Contender(Protocol):
    """An engine of the comparison. Only `answer` is timed."""

    name: str
    tuning: dict[str, Any]
    """The chosen options, and under `tried` all measured ones with their requests a second."""

    def prepare(self, sample: Sequence[BenchmarkPrompt]) -> None:
        """Loads, tunes on the sample and warms up."""
        ...

    def answer(self, prompts: Sequence[BenchmarkPrompt]) -> list[GeneratedAnswer]:
        """Answers in the order of the prompts. Includes tokenization and grammars."""
        ...

    def clear_caches(self) -> None:
        """Clears cached prompts before a round, which would otherwise make the next round faster."""

    def close(self) -> None:
        """Frees what `prepare` loaded."""
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
            text,
            lambda part_of_text: len(chat.plain(part_of_text)),
            config.window_tokens,
            config.summary_window_tokens,
        )
        lists = next(extract_entities(note, labels, config))
        sections = next(summarize(note, settings.summary_words, config))
        prompts += [_benchmark_prompt(index, "entities", request) for request in lists]
        prompts += [_benchmark_prompt(index, "search", request) for request in _quotations(lists)]
        prompts += [_benchmark_prompt(index, "summary", request) for request in sections]
    return prompts


def lark_of(request: GenerateRequest) -> str:
    """The grammar of a request as Lark text."""
    assert request.output_format is not None
    return request.output_format.lark()


def _benchmark_prompt(note: int, job: str, request: GenerateRequest) -> BenchmarkPrompt:
    return BenchmarkPrompt(note, job, request.prompt, request.max_tokens, lark_of(request), request)


def _quotations(lists: Sequence[GenerateRequest]) -> list[GenerateRequest]:
    """A search of each window: the grammar of an entity list with another question."""
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
