"""Short generative forms of the three tasks, for peers that cannot score label words.

Entities: all labels in one answer, a line for each that has mentions. Search: the answering parts quoted, or
yes or no for one sentence. Summary: one short text. The text unit is a window of a summary's length, which
makes few prompts, or a sentence, which answers better; benchmarks.comparison.writing_adapter trains weights
for sentences.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from benchmarks.comparison.workload import QUERY, SEARCH_QUESTION, BenchmarkPrompt
from models.answers import Span
from models.labels import load_labels
from models.settings import Settings
from worker.engine.api import Prompt
from worker.engine.prompting.chat_template import Chat
from worker.engine.prompting.prompt_templates import prompt
from worker.entities.attribute_patterns import PATTERN_KINDS
from worker.entities.list_grounding import ListItem
from worker.note.parsed_note import Note
from worker.note.sentence_splitter import sentences

ITEMS = 8
"""Mentions of one label in one answer, at most."""
SUMMARY_SENTENCES = 4
SENTENCE_CHARACTERS = 240


TextUnit = Literal["windows", "sentences"]


def short_form_prompts(
    texts: Sequence[str], chat: Chat, settings: Settings, unit: TextUnit = "windows", query: str = QUERY
) -> list[BenchmarkPrompt]:
    """Entities and search of each text unit and a summary of each window, note after note."""
    names = [label.name for label in load_labels(settings.labels_file) if label.name not in PATTERN_KINDS]
    prompts = []
    for index, text in enumerate(texts):
        long = settings.summary_window_tokens
        note = Note.of(text, lambda text_unit: len(chat.plain(text_unit)), settings.window_tokens, long)
        for window in note.long_windows:
            whole = text[window.start : window.end]
            for text_unit in text_units(whole, unit):
                part = whole[text_unit.start : text_unit.end]
                prompts += [entities_prompt(index, part, names), search_prompt(index, part, query, unit)]
            prompts.append(_summary_prompt(index, whole))
    return prompts


def text_units(text: str, unit: TextUnit) -> list[Span]:
    """Spans of the text that get their own prompts."""
    return sentences(text) if unit == "sentences" else [Span(start=0, end=len(text))]


def entities_prompt(note: int, text: str, names: Sequence[str]) -> BenchmarkPrompt:
    """Prompt for one line a label with mentions, `problem: a; b`, or `none`."""
    question = (
        f"List each {', '.join(names)} that the clinical note names, in its own words, "
        "separated by semicolons, a line each, or none."
    )
    lines = " | ".join(f'"{name}:"' for name in names)
    lark = f'start: "none\\n" | line{{1,{len(names)}}}\nline: ({lines}) LIST "\\n"\n{_list_of(text)}'
    return BenchmarkPrompt(note, "entities", Prompt(_document(text), question), len(names) * ITEMS * 24, lark)


def entities_answer(items: Sequence[ListItem]) -> str:
    """The expected answer for these mentions, in the order of their labels' lines."""
    by_label: dict[str, list[str]] = {}
    for item in items:
        by_label.setdefault(item.label, []).append(item.surface)
    lines = [f"{label}: {'; '.join(surfaces[:ITEMS])}\n" for label, surfaces in by_label.items()]
    return "".join(lines) or "none\n"


def search_prompt(note: int, text: str, query: str, unit: TextUnit = "windows") -> BenchmarkPrompt:
    """Prompt for the answering parts of a window in its own words, or for yes or no on a sentence."""
    document = _document(text)
    if unit == "sentences":
        question = f"Does the clinical note answer the query? Write yes or no.\nQuery: {query}"
        return BenchmarkPrompt(
            note, "search", Prompt(document, question, answer_start="Answer:"), 2, 'start: " yes" | " no"\n'
        )
    asking = Prompt(document, SEARCH_QUESTION.format(query=query), answer_start="Answer:")
    lark = f'start: LIST "\\n"\n{_list_of(text, or_none=True)}'
    return BenchmarkPrompt(note, "search", asking, ITEMS * 24, lark)


def parse_entities(answer: str) -> list[ListItem]:
    """The mentions in an entities answer. A line that was cut off counts as far as it goes."""
    items = []
    for line in answer.splitlines():
        name, _, mentions = line.partition(":")
        items += [ListItem(name, surface.strip()) for surface in parse_quotations(mentions)]
    return items


def parse_quotations(answer: str) -> list[str]:
    """The quoted parts in an answer."""
    stripped = answer.strip()
    if stripped in ("", "none"):
        return []
    return [part.strip() for part in stripped.split(";") if part.strip()]


def answering_parts(text: str, answer: str, unit: TextUnit) -> list[str]:
    """The parts of a text unit that answer the query, according to a generated answer."""
    if unit == "sentences":
        return [text] if answer.strip() == "yes" else []
    return parse_quotations(answer)


def _summary_prompt(note: int, text: str) -> BenchmarkPrompt:
    asking = prompt("summary_part", text, sentences=SUMMARY_SENTENCES)
    lark = (
        f'start: SENTENCE (" " SENTENCE){{0,{SUMMARY_SENTENCES - 1}}}\n'
        f'SENTENCE: /\\p{{Lu}}[^.!?\\n]{{8,{SENTENCE_CHARACTERS}}}/ "."\n'
    )
    return BenchmarkPrompt(note, "summary", asking, SUMMARY_SENTENCES * SENTENCE_CHARACTERS // 3, lark)


def _document(text: str) -> str:
    return prompt("summary_part", text, sentences=1).document


def _list_of(text: str, *, or_none: bool = False) -> str:
    words = json.dumps({"substring_words": text}, ensure_ascii=False)
    return (
        f'LIST: {""" " none" | """ if or_none else ""}" " SPAN ("; " SPAN){{0,{ITEMS - 1}}}\n'
        "SPAN: SUBSTRING & /[\\p{L}\\p{N}]([^\\n;|]{0,58}[\\p{L}\\p{N})%+])?/\n"
        f"SUBSTRING: %regex {words}\n"
    )
