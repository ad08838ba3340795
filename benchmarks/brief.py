"""The peers' short forms of the three questions, for engines that cannot decide without writing.

All labels in one answer, a line a label; the answering parts quoted; one short summary. Asked of pieces of
a note: `windows` of a summary's length is the fastest; `sentences` one by one is slower and answers better.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from benchmarks.work import QUERY, SEARCH_QUESTION, Asked
from models.answers import Span
from models.labels import load_labels
from models.settings import Settings
from worker.chat import Chat
from worker.engine import Prompt
from worker.entities import PATTERNED
from worker.grounding import Item
from worker.note import Note
from worker.prompts import prompt
from worker.sentences import sentences

ITEMS = 8
"""The most of one label in one answer."""
SUMMARY_SENTENCES = 4
SENTENCE_CHARACTERS = 240


Pieces = Literal["windows", "sentences"]


def brief_work(
    texts: Sequence[str], chat: Chat, settings: Settings, pieces: Pieces = "windows", query: str = QUERY
) -> list[Asked]:
    """Entities and search of each piece, a summary of each window, note after note."""
    names = [one.name for one in load_labels(settings.labels_file) if one.name not in PATTERNED]
    asked = []
    for index, text in enumerate(texts):
        long = settings.summary_window_tokens
        note = Note.of(text, lambda piece: len(chat.plain(piece)), settings.window_tokens, long)
        for window in note.long_windows:
            whole = text[window.start : window.end]
            for piece in pieces_of(whole, pieces):
                part = whole[piece.start : piece.end]
                asked += [entities_asked(index, part, names), search_asked(index, part, query)]
            asked.append(_summary_asked(index, whole))
    return asked


def pieces_of(text: str, pieces: Pieces) -> list[Span]:
    """What is asked one by one."""
    return sentences(text) if pieces == "sentences" else [Span(start=0, end=len(text))]


def entities_asked(note: int, text: str, names: Sequence[str]) -> Asked:
    """A line a label: `problem: a; b`, or `problem: none`."""
    question = (
        f"List every {', '.join(names)} that the clinical note above names, in its own words, a line each, "
        "separated by semicolons. Write none where it names none."
    )
    lines = " ".join(f'"{name}:" LIST "\\n"' for name in names)
    lark = f"start: {lines}\n{_list_of(text)}"
    return Asked(note, "entities", Prompt(_document(text), question), len(names) * ITEMS * 24, lark)


def search_asked(note: int, text: str, query: str) -> Asked:
    """The answering parts of the text, in its own words."""
    asking = Prompt(_document(text), SEARCH_QUESTION.format(query=query), answer_start="Answer:")
    return Asked(note, "search", asking, ITEMS * 24, f'start: LIST "\\n"\n{_list_of(text)}')


def items_of(answer: str) -> list[Item]:
    """The mentions of an entities answer; a line that was cut counts as far as it goes."""
    items = []
    for line in answer.splitlines():
        name, _, written = line.partition(":")
        items += [Item(name, one.strip()) for one in quoted(written)]
    return items


def quoted(answer: str) -> list[str]:
    """The parts that an answer quotes."""
    written = answer.strip()
    return [] if written in ("", "none") else [one.strip() for one in written.split(";") if one.strip()]


def _summary_asked(note: int, text: str) -> Asked:
    asking = prompt("summary_part", text, sentences=SUMMARY_SENTENCES)
    lark = (
        f'start: SENTENCE (" " SENTENCE){{0,{SUMMARY_SENTENCES - 1}}}\n'
        f'SENTENCE: /\\p{{Lu}}[^.!?\\n]{{8,{SENTENCE_CHARACTERS}}}/ "."\n'
    )
    return Asked(note, "summary", asking, SUMMARY_SENTENCES * SENTENCE_CHARACTERS // 3, lark)


def _document(text: str) -> str:
    return prompt("summary_part", text, sentences=1).document


def _list_of(text: str) -> str:
    words = json.dumps({"substring_words": text}, ensure_ascii=False)
    return (
        f'LIST: " none" | " " SPAN ("; " SPAN){{0,{ITEMS - 1}}}\n'
        "SPAN: SUBSTRING & /[\\p{L}\\p{N}]([^\\n;|]{0,58}[\\p{L}\\p{N})%+])?/\n"
        f"SUBSTRING: %regex {words}\n"
    )
