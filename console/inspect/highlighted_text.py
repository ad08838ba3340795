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
    highlights = []
    for entity in entities:
        highlights.append(Highlight(entity["start"], entity["end"], entity["label"], entity["assertion"]))
        highlights += [
            Highlight(attribute["start"], attribute["end"], attribute["kind"])
            for attribute in entity["attributes"]
        ]
    return sorted(
        dict.fromkeys(highlights), key=lambda highlight: (highlight.start, -highlight.end, highlight.label)
    )


def colours_of(highlights: Iterable[Highlight]) -> dict[str, str]:
    """A colour for each label, in the order in which labels occur."""
    labels = dict.fromkeys(highlight.label for highlight in highlights)
    return {label: _COLOURS[number % len(_COLOURS)] for number, label in enumerate(labels)}


def coloured(text: str, highlights: Sequence[Highlight]) -> Text:
    """The note with a colour for each label; an assertion other than 'present' follows its mention:
    ‹negated›."""
    colours = colours_of(highlights)
    result = Text()
    for start, end in _segments(text, highlights):
        style = Style()
        for highlight in highlights:
            if highlight.start <= start and end <= highlight.end:
                style += Style(color=colours[highlight.label], bold=True) + _ASSERTED.get(
                    highlight.assertion, Style()
                )
        result.append(printable(text[start:end]), style)
        for highlight in highlights:
            if highlight.end == end and highlight.assertion != _PRESENT:
                result.append(f"‹{highlight.assertion}›", Style(color=colours[highlight.label], dim=True))
    return result


def bracketed(text: str, highlights: Sequence[Highlight]) -> Text:
    """The note with brackets, for files, colour-blind readers and screen readers: [chest pain|problem,
    negated]."""
    result = Text()
    for start, end in _segments(text, highlights):
        result.append("[" * sum(highlight.start == start for highlight in highlights))
        result.append(printable(text[start:end]))
        for highlight in sorted(
            (highlight for highlight in highlights if highlight.end == end),
            key=lambda highlight: -highlight.start,
        ):
            result.append(f"|{highlight.words}]")
    return result


def _segments(text: str, highlights: Sequence[Highlight]) -> list[tuple[int, int]]:
    """The note cut wherever a highlight begins or ends."""
    cuts = sorted(
        {
            0,
            len(text),
            *(highlight.start for highlight in highlights),
            *(highlight.end for highlight in highlights),
        }
    )
    return list(pairwise(cuts))
