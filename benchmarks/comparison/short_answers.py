"""The peers' short forms of the three questions, for engines that cannot decide without writing.

All labels in one answer, a line for each that has mentions; the answering parts quoted, or of a sentence
whether it answers; one short summary. Asked of pieces of a note: `windows` of a summary's length, which are
few, or `sentences` one by one, which answers better. benchmarks.comparison.writing_adapter tunes weights to
the latter.
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
from worker.entities.entity_task import PATTERNED
from worker.entities.list_grounding import Item
from worker.note.parsed_note import Note
from worker.note.sentence_splitter import sentences

ITEMS = 8
"""The most of one label in one answer."""
SUMMARY_SENTENCES = 4
SENTENCE_CHARACTERS = 240


TextUnit = Literal["windows", "sentences"]


def short_form_prompts(
    texts: Sequence[str], chat: Chat, settings: Settings, unit: TextUnit = "windows", query: str = QUERY
) -> list[BenchmarkPrompt]:
    """Entities and search of each piece, a summary of each window, note after note."""
    names = [one.name for one in load_labels(settings.labels_file) if one.name not in PATTERNED]
    prompts = []
    for index, text in enumerate(texts):
        long = settings.summary_window_tokens
        note = Note.of(text, lambda piece: len(chat.plain(piece)), settings.window_tokens, long)
        for window in note.long_windows:
            whole = text[window.start : window.end]
            for piece in text_units(whole, unit):
                part = whole[piece.start : piece.end]
                prompts += [entities_prompt(index, part, names), search_prompt(index, part, query, unit)]
            prompts.append(_summary_asked(index, whole))
    return prompts


def text_units(text: str, unit: TextUnit) -> list[Span]:
    """What is asked one by one."""
    return sentences(text) if unit == "sentences" else [Span(start=0, end=len(text))]


def entities_prompt(note: int, text: str, names: Sequence[str]) -> BenchmarkPrompt:
    """A line a label that has mentions, `problem: a; b`; or `none`."""
    question = (
        f"List each {', '.join(names)} that the clinical note names, in its own words, "
        "separated by semicolons, a line each, or none."
    )
    lines = " | ".join(f'"{name}:"' for name in names)
    lark = f'start: "none\\n" | line{{1,{len(names)}}}\nline: ({lines}) LIST "\\n"\n{_list_of(text)}'
    return BenchmarkPrompt(note, "entities", Prompt(_document(text), question), len(names) * ITEMS * 24, lark)


def entities_answer(items: Sequence[Item]) -> str:
    """What is to be written where these are the mentions, in the order of their labels' lines."""
    by_label: dict[str, list[str]] = {}
    for one in items:
        by_label.setdefault(one.label, []).append(one.surface)
    return "".join(f"{label}: {'; '.join(some[:ITEMS])}\n" for label, some in by_label.items()) or "none\n"


def search_prompt(note: int, text: str, query: str, unit: TextUnit = "windows") -> BenchmarkPrompt:
    """The answering parts of a window, in its own words; of a sentence, which is one part, whether it is."""
    document = _document(text)
    if unit == "sentences":
        question = f"Does the clinical note answer the query? Write yes or no.\nQuery: {query}"
        return BenchmarkPrompt(
            note, "search", Prompt(document, question, answer_start="Answer:"), 2, 'start: " yes" | " no"\n'
        )
    asking = Prompt(document, SEARCH_QUESTION.format(query=query), answer_start="Answer:")
    lark = f'start: LIST "\\n"\n{_list_of(text, or_none=True)}'
    return BenchmarkPrompt(note, "search", asking, ITEMS * 24, lark)


def parse_entities(answer: str) -> list[Item]:
    """The mentions of an entities answer; a line that was cut counts as far as it goes."""
    items = []
    for line in answer.splitlines():
        name, _, written = line.partition(":")
        items += [Item(name, one.strip()) for one in parse_quotations(written)]
    return items


def parse_quotations(answer: str) -> list[str]:
    """The parts that an answer quotes."""
    written = answer.strip()
    return [] if written in ("", "none") else [one.strip() for one in written.split(";") if one.strip()]


def answering_parts(text: str, answer: str, unit: TextUnit) -> list[str]:
    """The parts of a piece that answer, by what was written of it."""
    if unit == "sentences":
        return [text] if answer.strip() == "yes" else []
    return parse_quotations(answer)


def _summary_asked(note: int, text: str) -> BenchmarkPrompt:
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
