"""The shapes that written answers may have, each as Lark for llguidance and as a JSON schema.

Lark can hold an answer to the note's own words; a JSON schema cannot, so `written` turns a JSON answer
into the text that Lark would have allowed, and leaves out what it would not. Knows no engine.
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
_SPAN_CHARACTERS = 60
"""The longest span of a list."""
_LEAST_PIECES = 8
_LEAST_SENTENCE_CHARACTERS = 1 + _LEAST_PIECES


class OutputFormatError(NotemillError):
    """An answer is not in the form that was asked for. Its text holds none of the answer."""


class OutputFormat(Protocol):
    """What an answer may look like."""

    def lark(self) -> str:
        """The grammar, for llguidance."""
        ...

    def json_schema(self) -> dict[str, Any]:
        """As near to the grammar as a schema comes."""
        ...

    def from_json(self, answer: str) -> str:
        """The text under the grammar that says what the JSON answer says. Raises OutputFormatError."""
        ...

    def check(self, text: str) -> None:
        """Raises OutputFormatError where the grammar would not have let the text be written."""
        ...


@dataclass(frozen=True, slots=True)
class EntityList:
    """' none', or up to `most` spans of `text` separated by '; '."""

    text: str
    max_items: int

    def lark(self) -> str:
        items = '" " SPAN' + _up_to(self.max_items - 1, '"; " SPAN')
        return f'start: (" none" | {items}) "\\n"\n' + _substring_of(
            self.text, max_characters=_SPAN_CHARACTERS
        )

    def json_schema(self) -> dict[str, Any]:
        item = {"type": "string", "minLength": 1, "maxLength": _SPAN_CHARACTERS}
        return {"type": "array", "items": item, "maxItems": self.max_items}

    def from_json(self, answer: str) -> str:
        """Items that the text does not have are left out."""
        spans = [_span_in(self.text, item, _SPAN_CHARACTERS) for item in _strings(answer)]
        return " " + ("; ".join([span for span in spans if span][: self.max_items]) or "none") + "\n"

    def check(self, text: str) -> None:
        items = text.strip().split("; ")
        is_list = len(items) <= self.max_items and all(
            item in self.text and _is_span(item, _SPAN_CHARACTERS) for item in items
        )
        if not is_list and items != ["none"]:
            raise OutputFormatError("not a list of the note's words")


@dataclass(frozen=True, slots=True)
class Prose:
    """Up to `sentences` sentences of at most `longest` characters, or 'None.' where that is allowed.

    Figures can only be those of `text`: a dose that the note does not have cannot be written.
    """

    text: str
    max_sentences: int
    max_characters: int
    can_be_none: bool

    def lark(self) -> str:
        numbers = sorted(set(_NUMBER.findall(self.text)), key=lambda number: (-len(number), number))
        number = f"NUMBER: {' | '.join(map(json.dumps, numbers))}\n" if numbers else ""
        # A number is followed by something else, so that two of the note's never run into a third.
        piece, last = ("NUMBER? OTHER", "NUMBER?") if numbers else ("OTHER", "")
        none = '"None." | ' if self.can_be_none else ""
        return (
            f"start: {none}SENTENCE" + _up_to(self.max_sentences - 1, '" " SENTENCE') + "\n"
            f'SENTENCE: /\\p{{Lu}}/ PIECE{{{_LEAST_PIECES},{self.max_characters}}} {last} "."\n'
            f"PIECE: {piece}\n"
            "OTHER: /[^\\p{N}.!?\\n]/\n" + number
        )

    def json_schema(self) -> dict[str, Any]:
        item = {"type": "string", "minLength": _LEAST_SENTENCE_CHARACTERS, "maxLength": self.max_characters}
        least = 0 if self.can_be_none else 1
        return {"type": "array", "items": item, "minItems": least, "maxItems": self.max_sentences}

    def from_json(self, answer: str) -> str:
        """Sentences with figures that the text does not have are left out."""
        numbers = frozenset(_NUMBER.findall(self.text))
        told = [
            sentence
            for item in _strings(answer)
            for piece in re.split(r"(?<=[.!?])\s+", item)
            if (sentence := _sentence(piece, numbers, self.max_characters))
        ]
        if not told and not self.can_be_none:
            raise OutputFormatError("no sentence that the note allows")
        return " ".join(told[: self.max_sentences]) or "None."

    def check(self, text: str) -> None:
        """A number at the very end may be one that was cut."""
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
        """A choice of the beginnings of the text's sentences and clauses."""
        return {"enum": list(dict.fromkeys(self._beginnings()))}

    def from_json(self, answer: str) -> str:
        """Raises OutputFormatError for what is not a piece of the text."""
        line = _loaded(answer)
        span = _span_in(self.text, line, self.max_characters) if isinstance(line, str) else None
        if span is None:
            raise OutputFormatError("the line is not a piece of the note")
        return f" {span}\n"

    def check(self, text: str) -> None:
        if text.strip() not in self.text or not _is_span(text.strip(), self.max_characters):
            raise OutputFormatError("not a line of the note")

    def _beginnings(self) -> Iterator[str]:
        for clause in re.split(r"[\n;|]|(?<=[.!?:])\s", self.text):
            words = clause.split(" ")
            while words and not _is_span(" ".join(words), self.max_characters):
                is_before = not words[0][:1].isalnum()
                words = words[1:] if is_before else words[:-1]
            if words:
                yield " ".join(words)


def _up_to(max_items: int, item: str) -> str:
    return f" ({item}){{0,{max_items}}}" if max_items else ""


def _substring_of(text: str, *, max_characters: int) -> str:
    """Lark rules under which SPAN is whole words of `text`, at most `longest` characters on one line.

    It begins and ends with a letter or digit (or closing bracket or per cent sign), so that a span
    is never the white space or the comma beside an entity. `substring_words` compiles in milliseconds
    even for a long note.
    """
    words = json.dumps({"substring_words": text}, ensure_ascii=False)
    form = f"/[\\p{{L}}\\p{{N}}]([^\\n;|]{{0,{max_characters - 2}}}[\\p{{L}}\\p{{N}})%+])?/"
    return f"SPAN: SUBSTRING & {form}\nSUBSTRING: %regex {words}\n"


def _is_span(piece: str, max_characters: int) -> bool:
    """Whether the form that `_substring_of` gives SPAN allows the piece."""
    return (
        0 < len(piece) <= max_characters
        and piece[0].isalnum()
        and (piece[-1].isalnum() or piece[-1] in ")%+")
        and not re.search(r"[\n;|]", piece)
    )


def _span_in(text: str, item: str, max_characters: int) -> str | None:
    """The first whole words of `text` that are the item but for case and the width of white space."""
    words = r"[^\S\n]+".join(map(re.escape, item.split()))
    for match in re.finditer(words, text, re.IGNORECASE) if words else ():
        is_whole = is_boundary(text, match.start()) and is_boundary(text, match.end())
        if is_whole and _is_span(match.group(), max_characters):
            return match.group()
    return None


def _sentence(piece: str, numbers: frozenset[str], max_characters: int) -> str | None:
    """The piece as the grammar has sentences; none with a figure not among `numbers`, or too short."""
    bare = " ".join(piece.split()).rstrip(".!? ")
    if not all(number in numbers for number in _NUMBER.findall(bare)):
        return None
    # Full stops are for ends and figures: "p.o." is written "po".
    bare = re.sub(r"(?<!\d)[.!?]|[.!?](?!\d)", "", bare)
    bare = bare[:1].upper() + bare[1:]
    # Counted as the grammar counts: what is no figure, after the first letter.
    rest = _NUMBER.sub("", bare[1:])
    is_long_enough = len(rest) >= _LEAST_PIECES and len(bare) <= max_characters
    is_allowed = unicodedata.category(bare[:1] or " ") == "Lu" and is_long_enough
    has_other_figures = any(unicodedata.category(one).startswith("N") for one in rest)
    return f"{bare}." if is_allowed and not has_other_figures else None


def _strings(answer: str) -> list[str]:
    items = _loaded(answer)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise OutputFormatError("not a list of strings")
    return items


def _loaded(answer: str) -> Any:
    try:
        return json.loads(answer)
    except ValueError:  # its text would quote the answer
        raise OutputFormatError("not JSON") from None
