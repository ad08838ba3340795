"""A note with its entities highlighted, as styled segments of text. Pure; offsets stay those of the note."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from rich.style import Style
from rich.text import Text

from console.terminal.terminal import printable

_COLOURS = ("red", "green", "cyan", "yellow", "magenta", "blue", "bright_red", "bright_green", "bright_cyan")
_PRESENT = "present"
_ASSERTED = {
    "negated": Style(strike=True, dim=True),
    "possible": Style(italic=True),
    "historical": Style(dim=True),
    "conditional": Style(italic=True, dim=True),
    "family": Style(italic=True, dim=True),
}


@dataclass(frozen=True, slots=True)
class Highlight:
    """A highlighted span of the note and its name."""

    start: int
    end: int
    label: str
    assertion: str = _PRESENT

    @property
    def words(self) -> str:
        """The name, such as 'problem' or 'problem, negated'."""
        return self.label if self.assertion == _PRESENT else f"{self.label}, {self.assertion}"


def highlights_of(entities: Iterable[dict[str, Any]]) -> list[Highlight]:
    """Entities and their attributes in the order of the note, each span and label once."""
    marks = []
    for entity in entities:
        marks.append(Highlight(entity["start"], entity["end"], entity["label"], entity["assertion"]))
        marks += [
            Highlight(attribute["start"], attribute["end"], attribute["kind"])
            for attribute in entity["attributes"]
        ]
    return sorted(dict.fromkeys(marks), key=lambda mark: (mark.start, -mark.end, mark.label))


def colours_of(marks: Iterable[Highlight]) -> dict[str, str]:
    """A colour for each label, in the order in which labels occur."""
    labels = dict.fromkeys(mark.label for mark in marks)
    return {label: _COLOURS[number % len(_COLOURS)] for number, label in enumerate(labels)}


def coloured(text: str, marks: Sequence[Highlight]) -> Text:
    """The note with a colour for each label; an assertion other than 'present' follows its mention:
    ‹negated›."""
    colours = colours_of(marks)
    result = Text()
    for start, end in _pieces(text, marks):
        style = Style()
        for mark in marks:
            if mark.start <= start and end <= mark.end:
                style += Style(color=colours[mark.label], bold=True) + _ASSERTED.get(mark.assertion, Style())
        result.append(printable(text[start:end]), style)
        for mark in marks:
            if mark.end == end and mark.assertion != _PRESENT:
                result.append(f"‹{mark.assertion}›", Style(color=colours[mark.label], dim=True))
    return result


def bracketed(text: str, marks: Sequence[Highlight]) -> Text:
    """The note with brackets, for files, colour-blind readers and screen readers: [chest pain|problem,
    negated]."""
    result = Text()
    for start, end in _pieces(text, marks):
        result.append("[" * sum(mark.start == start for mark in marks))
        result.append(printable(text[start:end]))
        for mark in sorted((mark for mark in marks if mark.end == end), key=lambda mark: -mark.start):
            result.append(f"|{mark.words}]")
    return result


def _pieces(text: str, marks: Sequence[Highlight]) -> list[tuple[int, int]]:
    """The note cut wherever a highlight begins or ends."""
    cuts = sorted({0, len(text), *(mark.start for mark in marks), *(mark.end for mark in marks)})
    return list(pairwise(cuts))
