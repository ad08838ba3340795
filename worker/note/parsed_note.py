"""A parsed note: its sentences, sections and windows, each computed once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from models.answers import Span
from worker.note.section_headings import BOILERPLATE, NoteSection, sections
from worker.note.sentence_splitter import sentences
from worker.note.windows import NoteWindow, windows

_Made = TypeVar("_Made")

OVERLAP_SENTENCES = 1
"""Sentences before a window's own that are read with it."""


@dataclass(frozen=True)
class Note:
    """A parsed note; offsets are into `text`, the document's text."""

    text: str
    sentences: tuple[Span, ...]
    sections: tuple[NoteSection, ...]
    _count_tokens: Callable[[str], int]
    _window_tokens: int
    _long_tokens: int

    @staticmethod
    def of(text: str, count_tokens: Callable[[str], int], window_tokens: int, long_tokens: int) -> Note:
        """Parses a text. Window sizes are in tokens."""
        return Note(text, sentences(text), sections(text), count_tokens, window_tokens, long_tokens)

    @cached_property
    def windows(self) -> tuple[NoteWindow, ...]:
        """Windows for tagging and search; each non-white character is in one window's core."""
        return self._cut(self._window_tokens)

    @cached_property
    def long_windows(self) -> tuple[NoteWindow, ...]:
        """Windows for abstractive summaries; computed only where one is requested."""
        return self._cut(self._long_tokens)

    def _cut(self, max_tokens: int) -> tuple[NoteWindow, ...]:
        return windows(
            self.text,
            self.sentences,
            self.sections,
            count_tokens=self._count_tokens,
            max_tokens=max_tokens,
            overlap_sentences=OVERLAP_SENTENCES,
        )

    @property
    def window_ranges(self) -> tuple[Span, ...]:
        """The ranges that the windows for tagging and search cover, without white space between them."""
        return tuple(Span(start=window.start, end=window.end) for window in self.windows)

    @property
    def long_window_ranges(self) -> tuple[Span, ...]:
        """The ranges that the windows for abstractive summaries cover."""
        return tuple(Span(start=window.start, end=window.end) for window in self.long_windows)

    def cached(self, make: Callable[..., _Made], *of: Any) -> _Made:
        """`make(note, *of)`, computed once for the same function and objects and shared by all tasks."""
        key = (make, *map(id, of))
        if key not in self._made:
            # Kept with the objects: an id is theirs only as long as they live.
            self._made[key] = (of, make(self, *of))
        made: _Made = self._made[key][1]
        return made

    @cached_property
    def _made(self) -> dict[tuple[object, ...], tuple[tuple[Any, ...], Any]]:
        return {}

    def sentence_at(self, offset: int) -> Span:
        """The sentence that contains a character of the text, or the one before it."""
        place = bisect_right(self.sentences, offset, key=lambda one: one.start)
        return self.sentences[max(0, place - 1)]

    def section_at(self, offset: int) -> NoteSection:
        """The section that contains a character of the text."""
        place = bisect_right(self.sections, offset, key=lambda one: one.start)
        return self.sections[max(0, place - 1)]

    def is_boilerplate(self, offset: int) -> bool:
        """True where a character belongs to archive boilerplate after the text."""
        return self.section_at(offset).kind == BOILERPLATE
