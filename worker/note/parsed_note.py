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

_Result = TypeVar("_Result")

OVERLAP_SENTENCES = 1
"""Number of preceding sentences that a window contains as context."""


@dataclass(frozen=True)
class Note:
    """A parsed note; offsets are in characters of `text`, the text of the document."""

    text: str
    sentences: tuple[Span, ...]
    sections: tuple[NoteSection, ...]
    _count_tokens: Callable[[str], int]
    _window_tokens: int
    _long_tokens: int

    @staticmethod
    def of(text: str, count_tokens: Callable[[str], int], window_tokens: int, long_tokens: int) -> Note:
        """Parses a text. Window sizes are in tokens; `long_tokens` is that of abstractive summaries."""
        return Note(text, sentences(text), sections(text), count_tokens, window_tokens, long_tokens)

    @cached_property
    def windows(self) -> tuple[NoteWindow, ...]:
        """Windows for tagging and search; each character except white space is in the core of one window."""
        return self._windows_of(self._window_tokens)

    @cached_property
    def long_windows(self) -> tuple[NoteWindow, ...]:
        """Windows for abstractive summaries; computed only if one is requested."""
        return self._windows_of(self._long_tokens)

    def _windows_of(self, max_tokens: int) -> tuple[NoteWindow, ...]:
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
        """The character ranges of the windows for tagging and search."""
        return tuple(Span(start=window.start, end=window.end) for window in self.windows)

    @property
    def long_window_ranges(self) -> tuple[Span, ...]:
        """The character ranges of the windows for abstractive summaries."""
        return tuple(Span(start=window.start, end=window.end) for window in self.long_windows)

    def cached(self, compute: Callable[..., _Result], *arguments: Any) -> _Result:
        """`compute(note, *arguments)`, computed once per function and argument objects, for all tasks."""
        key = (compute, *map(id, arguments))
        if key not in self._cache:
            # The arguments are stored too: an id is unique only while its object exists.
            self._cache[key] = (arguments, compute(self, *arguments))
        result: _Result = self._cache[key][1]
        return result

    @cached_property
    def _cache(self) -> dict[tuple[object, ...], tuple[tuple[Any, ...], Any]]:
        return {}

    def sentence_at(self, offset: int) -> Span:
        """The sentence that contains the character at `offset`, otherwise the sentence before it."""
        index = bisect_right(self.sentences, offset, key=lambda sentence: sentence.start)
        return self.sentences[max(0, index - 1)]

    def section_at(self, offset: int) -> NoteSection:
        """The section that contains the character at `offset`."""
        index = bisect_right(self.sections, offset, key=lambda section: section.start)
        return self.sections[max(0, index - 1)]

    def is_boilerplate(self, offset: int) -> bool:
        """True if the character at `offset` belongs to archive boilerplate after the note."""
        return self.section_at(offset).kind == BOILERPLATE
