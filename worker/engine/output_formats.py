"""Output formats of generated answers, each as a Lark grammar for llguidance and as a JSON schema.

A Lark grammar can restrict an answer to the words of the note; a JSON schema cannot. `from_json` converts a
JSON answer into the text that the grammar would allow, and drops the rest. Does not import an engine.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from models.errors import NotemillError
from worker.note.word_boundaries import is_boundary

_NUMBER = re.compile(r"\d[\d,./:-]*\d|\d")
_MAX_SPAN_CHARACTERS = 60
"""Maximum length of a span in a list."""
_MIN_REPETITIONS = 8
"""Minimum repetitions of the grammar rule PIECE in a sentence."""
_MIN_SENTENCE_CHARACTERS = 1 + _MIN_REPETITIONS


class OutputFormatError(NotemillError):
    """An answer does not have the requested format. The message quotes nothing of the answer."""


class OutputFormat(Protocol):
    """Constrains the text of a generated answer."""

    def lark(self) -> str:
        """The grammar, for llguidance."""
        ...

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema that comes closest to the grammar."""
        ...

    def from_json(self, answer: str) -> str:
        """The JSON answer as text that the grammar allows. Raises OutputFormatError if there is none."""
        ...

    def check(self, text: str) -> None:
        """Raises OutputFormatError if the grammar does not allow the text."""
        ...


@dataclass(frozen=True, slots=True)
class EntityList:
    """' none', or up to `max_items` spans of `text`, separated by '; '."""

    text: str
    max_items: int

    def lark(self) -> str:
        items = '" " SPAN' + _up_to(self.max_items - 1, '"; " SPAN')
        return f'start: (" none" | {items}) "\\n"\n' + _substring_of(
            self.text, max_characters=_MAX_SPAN_CHARACTERS
        )

    def json_schema(self) -> dict[str, Any]:
        item = {"type": "string", "minLength": 1, "maxLength": _MAX_SPAN_CHARACTERS}
        return {"type": "array", "items": item, "maxItems": self.max_items}

    def from_json(self, answer: str) -> str:
        """Drops items that the text does not contain."""
        spans = [_span_in(self.text, item, _MAX_SPAN_CHARACTERS) for item in _strings(answer)]
        return " " + ("; ".join([span for span in spans if span][: self.max_items]) or "none") + "\n"

    def check(self, text: str) -> None:
        items = text.strip().split("; ")
        is_list = len(items) <= self.max_items and all(
            item in self.text and _is_span(item, _MAX_SPAN_CHARACTERS) for item in items
        )
        if not is_list and items != ["none"]:
            raise OutputFormatError("not a list of spans of the note")


@dataclass(frozen=True, slots=True)
class Prose:
    """Up to `max_sentences` sentences of at most `max_characters` each, or 'None.' if `can_be_none`.

    Numbers must occur in `text`: a dose that the note does not contain cannot be generated.
    """

    text: str
    max_sentences: int
    max_characters: int
    can_be_none: bool

    def lark(self) -> str:
        numbers = sorted(set(_NUMBER.findall(self.text)), key=lambda number: (-len(number), number))
        number = f"NUMBER: {' | '.join(map(json.dumps, numbers))}\n" if numbers else ""
        # Another character follows each number, so that two numbers of the note never join into a third.
        repeated, last = ("NUMBER? OTHER", "NUMBER?") if numbers else ("OTHER", "")
        none = '"None." | ' if self.can_be_none else ""
        return (
            f"start: {none}SENTENCE" + _up_to(self.max_sentences - 1, '" " SENTENCE') + "\n"
            f'SENTENCE: /\\p{{Lu}}/ PIECE{{{_MIN_REPETITIONS},{self.max_characters}}} {last} "."\n'
            f"PIECE: {repeated}\n"
            "OTHER: /[^\\p{N}.!?\\n]/\n" + number
        )

    def json_schema(self) -> dict[str, Any]:
        item = {"type": "string", "minLength": _MIN_SENTENCE_CHARACTERS, "maxLength": self.max_characters}
        min_items = 0 if self.can_be_none else 1
        return {"type": "array", "items": item, "minItems": min_items, "maxItems": self.max_sentences}

    def from_json(self, answer: str) -> str:
        """Drops sentences with numbers that the text does not contain."""
        numbers = frozenset(_NUMBER.findall(self.text))
        sentences = [
            sentence
            for item in _strings(answer)
            for part in re.split(r"(?<=[.!?])\s+", item)
            if (sentence := _sentence(part, numbers, self.max_characters))
        ]
        if not sentences and not self.can_be_none:
            raise OutputFormatError("no sentence that the note allows")
        return " ".join(sentences[: self.max_sentences]) or "None."

    def check(self, text: str) -> None:
        """Ignores a number at the very end, which may be cut short."""
        numbers = [match.group() for match in _NUMBER.finditer(text) if match.end() < len(text)]
        if not set(numbers) <= set(_NUMBER.findall(self.text)) or "\n" in text or not text:
            raise OutputFormatError("not sentences that the note allows")


@dataclass(frozen=True, slots=True)
class SpanLine:
    """One span of `text` on one line."""

    text: str
    max_characters: int

    def lark(self) -> str:
        return 'start: " "? SPAN "\\n"\n' + _substring_of(self.text, max_characters=self.max_characters)

    def json_schema(self) -> dict[str, Any]:
        """An enumeration of the starts of the text's sentences and clauses."""
        return {"enum": list(dict.fromkeys(self._clause_starts()))}

    def from_json(self, answer: str) -> str:
        """Raises OutputFormatError if the line is not a span of the text."""
        line = _parsed_json(answer)
        span = _span_in(self.text, line, self.max_characters) if isinstance(line, str) else None
        if span is None:
            raise OutputFormatError("the line is not a span of the note")
        return f" {span}\n"

    def check(self, text: str) -> None:
        if text.strip() not in self.text or not _is_span(text.strip(), self.max_characters):
            raise OutputFormatError("not a line of the note")

    def _clause_starts(self) -> Iterator[str]:
        for clause in re.split(r"[\n;|]|(?<=[.!?:])\s", self.text):
            words = clause.split(" ")
            while words and not _is_span(" ".join(words), self.max_characters):
                is_leading = not words[0][:1].isalnum()
                words = words[1:] if is_leading else words[:-1]
            if words:
                yield " ".join(words)


def _up_to(max_items: int, item: str) -> str:
    return f" ({item}){{0,{max_items}}}" if max_items else ""


def _substring_of(text: str, *, max_characters: int) -> str:
    """Lark rules in which SPAN is a run of whole words of `text`, at most `max_characters` on one line.

    A span starts with a letter or digit and ends with one, or with a closing bracket or per cent sign, so
    that it never holds the white space or comma beside an entity. `substring_words` compiles in milliseconds
    even for a long note.
    """
    words = json.dumps({"substring_words": text}, ensure_ascii=False)
    pattern = f"/[\\p{{L}}\\p{{N}}]([^\\n;|]{{0,{max_characters - 2}}}[\\p{{L}}\\p{{N}})%+])?/"
    return f"SPAN: SUBSTRING & {pattern}\nSUBSTRING: %regex {words}\n"


def _is_span(text: str, max_characters: int) -> bool:
    """True if the rule SPAN of `_substring_of` allows the text, apart from the words themselves."""
    return (
        0 < len(text) <= max_characters
        and text[0].isalnum()
        and (text[-1].isalnum() or text[-1] in ")%+")
        and not re.search(r"[\n;|]", text)
    )


def _span_in(text: str, item: str, max_characters: int) -> str | None:
    """The first run of whole words in `text` that equals the item except for case and white space."""
    words = r"[^\S\n]+".join(map(re.escape, item.split()))
    for match in re.finditer(words, text, re.IGNORECASE) if words else ():
        is_whole = is_boundary(text, match.start()) and is_boundary(text, match.end())
        if is_whole and _is_span(match.group(), max_characters):
            return match.group()
    return None


def _sentence(text: str, numbers: frozenset[str], max_characters: int) -> str | None:
    """The text as a sentence of the grammar; None if it is too short or has a number not in `numbers`."""
    stripped = " ".join(text.split()).rstrip(".!? ")
    if not all(number in numbers for number in _NUMBER.findall(stripped)):
        return None
    # A full stop ends a sentence or stands within a number: "p.o." becomes "po".
    stripped = re.sub(r"(?<!\d)[.!?]|[.!?](?!\d)", "", stripped)
    stripped = stripped[:1].upper() + stripped[1:]
    # Counted as in the grammar: characters after the first letter that belong to no number.
    other_characters = _NUMBER.sub("", stripped[1:])
    is_long_enough = len(other_characters) >= _MIN_REPETITIONS and len(stripped) <= max_characters
    is_allowed = unicodedata.category(stripped[:1] or " ") == "Lu" and is_long_enough
    has_other_numbers = any(unicodedata.category(character).startswith("N") for character in other_characters)
    return f"{stripped}." if is_allowed and not has_other_numbers else None


def _strings(answer: str) -> list[str]:
    items = _parsed_json(answer)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise OutputFormatError("not a list of strings")
    return items


def _parsed_json(answer: str) -> Any:
    try:
        return json.loads(answer)
    except ValueError:  # the message would quote the answer
        raise OutputFormatError("not JSON") from None
