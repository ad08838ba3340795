"""Windows of a note: whole sentences up to a number of tokens, with preceding sentences as context.

Every character that is not white space lies in exactly one window's core, so each entity belongs to one
window. What is longer than a window is cut, at words where possible; nothing is dropped.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from models.answers import Span
from worker.note.section_headings import NoteSection

CountTokens = Callable[[str], int]

_PARAGRAPH = re.compile(r"\n\s*\n|\r\n\s*\r\n")


@dataclass(frozen=True, slots=True)
class NoteWindow:
    """[start, end) is read; answers in [core_start, core_end) belong to this window."""

    start: int
    end: int
    core_start: int
    core_end: int
    sentences: tuple[Span, ...]
    """Sentences of the whole window, context included; parts of a sentence where it had to be cut."""


def windows(
    text: str,
    sentences: Sequence[Span],
    sections: Sequence[NoteSection],
    *,
    count_tokens: CountTokens,
    max_tokens: int,
    overlap_sentences: int,
) -> tuple[NoteWindow, ...]:
    """The windows in order; `sentences` and `sections` are all those of the text.

    `count_tokens(text[start:end]) <= max_tokens` for each, unless a single character is more than that.
    `count_tokens` is called about once a sentence and once a window.

    Raises ValueError for a `max_tokens` below 1.
    """
    if max_tokens < 1:
        raise ValueError(f"a window of {max_tokens} tokens holds nothing")
    counted = list(_counted_pieces(text, sentences, count_tokens, max_tokens))
    pieces = [piece for piece, _ in counted]
    sums = [0, *accumulate(tokens for _, tokens in counted)]
    section_starts = {
        bisect_left(pieces, section.start, key=lambda piece: piece.start) for section in sections
    }
    ends_of_paragraphs = {
        i + 1 for i in range(len(pieces) - 1) if _ends_paragraph(text, pieces[i], pieces[i + 1])
    }
    found = []
    first = 0
    while first < len(pieces):
        context = _context_start(sums, first, overlap_sentences, max_tokens // 4)
        last = _furthest(sums, context, first, max_tokens)
        # The tokens of a whole are seldom, but sometimes, more than those of its parts.
        while count_tokens(text[pieces[context].start : pieces[last - 1].end]) > max_tokens:
            if last > first + 1:
                last -= 1
            elif context < first:
                context += 1
            else:
                break
        if last < len(pieces):
            last = _at_a_border(sums, context, first, last, section_starts, ends_of_paragraphs)
        found.append(
            NoteWindow(
                start=pieces[context].start,
                end=pieces[last - 1].end,
                core_start=pieces[first].start,
                core_end=pieces[last - 1].end,
                sentences=tuple(pieces[context:last]),
            )
        )
        first = last
    return tuple(found)


def _context_start(sums: list[int], first: int, overlap_sentences: int, budget: int) -> int:
    context = first
    while context > max(0, first - overlap_sentences) and sums[first] - sums[context - 1] <= budget:
        context -= 1
    return context


def _furthest(sums: list[int], context: int, first: int, max_tokens: int) -> int:
    last = first + 1
    while last < len(sums) - 1 and sums[last + 1] - sums[context] <= max_tokens:
        last += 1
    return last


def _at_a_border(
    sums: list[int], context: int, first: int, last: int, section_starts: set[int], paragraph_ends: set[int]
) -> int:
    """A section's start in the second half of the window, otherwise a paragraph's in the last quarter."""
    tokens = sums[last] - sums[context]
    for borders, least in ((section_starts, tokens / 2), (paragraph_ends, tokens * 3 / 4)):
        for border in range(last, first, -1):
            if sums[border] - sums[context] < least:
                break
            if border in borders:
                return border
    return last


def _counted_pieces(
    text: str, sentences: Sequence[Span], count_tokens: CountTokens, max_tokens: int
) -> Iterator[tuple[Span, int]]:
    """Sentences, cut where longer than a window, with its tokens and those of trailing white space."""
    for index, span in enumerate(sentences):
        end = sentences[index + 1].start if index + 1 < len(sentences) else span.end
        tokens = count_tokens(text[span.start : end])
        if tokens <= max_tokens:
            yield span, tokens
            continue
        for piece in _fitting(text, span, count_tokens, max_tokens):
            yield piece, max_tokens if piece.end < span.end else count_tokens(text[piece.start : end])


def _ends_paragraph(text: str, piece: Span, following: Span) -> bool:
    return _PARAGRAPH.search(text[piece.end : following.start]) is not None


def _fitting(text: str, span: Span, count_tokens: CountTokens, max_tokens: int) -> Iterator[Span]:
    """The span in parts of at most `max_tokens` each, cut at words, otherwise at characters."""
    tokens = count_tokens(text[span.start : span.end])
    start = span.start
    while tokens > max_tokens and span.end - start > 1:
        length = max(1, (span.end - start) * max_tokens // tokens)
        end = _word_end(text, start, start + length)
        while end - start > 1 and count_tokens(text[start:end]) > max_tokens:
            length = max(1, (end - start) * 3 // 4)
            end = _word_end(text, start, start + length)
        yield Span(start=start, end=end)
        start = end + len(text[end : span.end]) - len(text[end : span.end].lstrip())
        tokens = count_tokens(text[start : span.end])
    yield Span(start=start, end=span.end)


def _word_end(text: str, start: int, end: int) -> int:
    """The last word end at or before `end`; `end` where there is none."""
    if end < len(text) and not text[end].isspace():
        spaces = [space.start() for space in re.finditer(r"(?<=\S)\s", text[start:end])]
        end = start + spaces[-1] if spaces else end
    return start + len(text[start:end].rstrip()) or end
