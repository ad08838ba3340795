"""Row formats: recognizes conversations, annotated notes and rows of public corpora by their columns.

Each row becomes a record with its `kind`; training examples are made of records. An unknown row is broken.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.answers import Assertion
from training.data.data_tables import BrokenRow, Row
from training.data.prepared_folder import Record
from training.examples.conversations import BrokenConversationError, Conversation, read_conversation
from training.examples.task_examples import LABELS_OF

CONVERSATION, NOTE, ASSERTION, ANSWER, DIALOGUE, PLAIN = (
    *("conversation", "note", "assertion", "answer", "dialogue", "plain"),
)
OWN = "own"
"""The corpus of notes annotated with our own labels."""
_CHAT_COLUMNS = ("chat_sample", "input")
_ORIGIN_COLUMNS = ("dataset_origin", "origin")
_BAIZE_FILE = re.compile(r"(\w+?)_chat_data\.")
_NEGATIONS = {"negated": Assertion.NEGATED, "possible": Assertion.POSSIBLE}


@dataclass(frozen=True, slots=True)
class RowColumns:
    """Names of a file's columns that the operator gives; empty: the usual names."""

    text: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Recognized:
    """A record, the text to find its duplicates by, and the group that stays on one side of the split."""

    record: Record
    text: str
    group: str
    conversation: Conversation | None = None


def recognize(row: Row, path: Path, columns: RowColumns) -> Recognized | BrokenRow:
    """The record of a row. Notes in a folder named after a corpus have that corpus's labels."""
    chat = next((name for name in (columns.text, *_CHAT_COLUMNS) if name and name in row), None)
    if chat is not None:
        return _conversation(row, chat, path, columns)
    try:
        if {"text", "entities"} <= row.keys():
            return _note(row, path)
        if {"sentence", "negation", "start", "end"} <= row.keys():
            return _assertion(row)
        if {"dialogue", "section", "section_text"} <= row.keys():
            return _text_row(row, DIALOGUE, "dialogue", ("section", "section_text"))
        if {"dialogue", "note"} <= row.keys():
            return _text_row(row, PLAIN, "note", ())
        if {"question", "answer"} <= row.keys():
            return _text_row(row, ANSWER, "answer", ("question",))
    except (TypeError, KeyError, ValueError, OverflowError):
        return BrokenRow("a field is missing or of another type")
    return BrokenRow("no known columns")


def _conversation(row: Row, chat: str, path: Path, columns: RowColumns) -> Recognized | BrokenRow:
    origin_column = next((name for name in (columns.origin, *_ORIGIN_COLUMNS) if name and name in row), None)
    baize_file = _BAIZE_FILE.match(path.name)
    origin = str(row[origin_column] or "") if origin_column else baize_file[1] if baize_file else ""
    try:
        conversation = read_conversation(row[chat], origin)
    except BrokenConversationError as error:
        return BrokenRow(error.reason)
    record = {"kind": CONVERSATION, "turns": [list(turn) for turn in conversation.turns], "origin": origin}
    return Recognized(record, conversation.text, conversation.opening, conversation)


def _note(row: Row, path: Path) -> Recognized | BrokenRow:
    text, corpus = row["text"], path.parent.name if path.parent.name in LABELS_OF else OWN
    entities = [dict(entity) for entity in row["entities"]]
    if any(
        text[entity["start"] : entity["end"]] != entity.get("text", text[entity["start"] : entity["end"]])
        for entity in entities
    ):
        return BrokenRow("an entity is not at its place")
    record = {"kind": NOTE, "corpus": corpus, "text": text, "entities": entities}
    record |= {name: row[name] for name in ("id", "document", "relations") if name in row}
    return Recognized(record, text, text)


def _assertion(row: Row) -> Recognized | BrokenRow:
    sentence, start, end = row["sentence"], int(row["start"]), int(row["end"])
    if not 0 <= start < end <= len(sentence):
        return BrokenRow("a concept is not in its sentence")
    assertion = _NEGATIONS.get(row["negation"], Assertion.PRESENT)
    if assertion is Assertion.PRESENT and row.get("temporality") == "historical":
        assertion = Assertion.HISTORICAL
    if assertion is not Assertion.NEGATED and row.get("experiencer", "patient") != "patient":
        assertion = Assertion.FAMILY
    record = {"kind": ASSERTION, "text": sentence, "spans": [[start, end, assertion.value]]}
    return Recognized(record, f"{sentence} {start}", sentence)


def _text_row(row: Row, kind: str, text: str, others: tuple[str, ...]) -> Recognized | BrokenRow:
    values: dict[str, Any] = {name: row[name] for name in (text, *others)}
    if not all(isinstance(value, str) and value.strip() for value in values.values()):
        return BrokenRow("empty")
    joined = "\n".join(values[name] for name in (text, *others))
    return Recognized({"kind": kind, **values}, joined, values[text])
