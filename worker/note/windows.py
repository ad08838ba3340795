"""Windows of a note: whole sentences up to a token limit, with preceding sentences as context.

Every character except white space lies in the core of exactly one window, so each entity belongs to one
window. A sentence longer than a window is cut, between words where possible. No text is dropped.
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
    """A window [start, end) of the text; answers in [core_start, core_end) belong to this window."""

    start: int
    end: int
    core_start: int
    core_end: int
    sentences: tuple[Span, ...]
    """The sentences of the whole window, context included; a sentence that had to be cut appears as parts."""


def windows(
    text: str,
    sentences: Sequence[Span],
    sections: Sequence[NoteSection],
    *,
    count_tokens: CountTokens,
    max_tokens: int,
    overlap_sentences: int,
) -> tuple[NoteWindow, ...]:
    """The windows in order; `sentences` and `sections` are those of the whole text.

    Each window has at most `max_tokens` tokens, unless a single character has more. `count_tokens` is called
    about once per sentence and once per window. Raises ValueError if `max_tokens` is below 1.
    """
    if max_tokens < 1:
        raise ValueError(f"a window of {max_tokens} tokens holds nothing")
    counted = list(_counted_segments(text, sentences, count_tokens, max_tokens))
    segments = [segment for segment, _ in counted]
    cumulative_tokens = [0, *accumulate(tokens for _, tokens in counted)]
    section_starts = {
        bisect_left(segments, section.start, key=lambda segment: segment.start) for section in sections
    }
    ends_of_paragraphs = {
        i + 1 for i in range(len(segments) - 1) if _ends_paragraph(text, segments[i], segments[i + 1])
    }
    result = []
    first = 0
    while first < len(segments):
        context = _context_start(cumulative_tokens, first, overlap_sentences, max_tokens // 4)
        last = _last_fitting(cumulative_tokens, context, first, max_tokens)
        # A text can have more tokens than its parts together, although that is rare.
        while count_tokens(text[segments[context].start : segments[last - 1].end]) > max_tokens:
            if last > first + 1:
                last -= 1
            elif context < first:
                context += 1
            else:
                break
        if last < len(segments):
            last = _moved_to_border(
                cumulative_tokens, context, first, last, section_starts, ends_of_paragraphs
            )
        result.append(
            NoteWindow(
                start=segments[context].start,
                end=segments[last - 1].end,
                core_start=segments[first].start,
                core_end=segments[last - 1].end,
                sentences=tuple(segments[context:last]),
            )
        )
        first = last
    return tuple(result)


def _context_start(cumulative_tokens: list[int], first: int, overlap_sentences: int, budget: int) -> int:
    context = first
    while (
        context > max(0, first - overlap_sentences)
        and cumulative_tokens[first] - cumulative_tokens[context - 1] <= budget
    ):
        context -= 1
    return context


def _last_fitting(cumulative_tokens: list[int], context: int, first: int, max_tokens: int) -> int:
    last = first + 1
    while (
        last < len(cumulative_tokens) - 1
        and cumulative_tokens[last + 1] - cumulative_tokens[context] <= max_tokens
    ):
        last += 1
    return last


def _moved_to_border(
    cumulative_tokens: list[int],
    context: int,
    first: int,
    last: int,
    section_starts: set[int],
    paragraph_ends: set[int],
) -> int:
    """Moves the end to a section start in the second half, else to a paragraph end in the last quarter."""
    tokens = cumulative_tokens[last] - cumulative_tokens[context]
    for borders, min_tokens in ((section_starts, tokens / 2), (paragraph_ends, tokens * 3 / 4)):
        for border in range(last, first, -1):
            if cumulative_tokens[border] - cumulative_tokens[context] < min_tokens:
                break
            if border in borders:
                return border
    return last


def _counted_segments(
    text: str, sentences: Sequence[Span], count_tokens: CountTokens, max_tokens: int
) -> Iterator[tuple[Span, int]]:
    """Sentences, cut if longer than a window, each with its tokens, trailing white space included."""
    for index, sentence in enumerate(sentences):
        end = sentences[index + 1].start if index + 1 < len(sentences) else sentence.end
        tokens = count_tokens(text[sentence.start : end])
        if tokens <= max_tokens:
            yield sentence, tokens
            continue
        for segment in _split_to_fit(text, sentence, count_tokens, max_tokens):
            yield (
                segment,
                max_tokens if segment.end < sentence.end else count_tokens(text[segment.start : end]),
            )


def _ends_paragraph(text: str, segment: Span, following: Span) -> bool:
    return _PARAGRAPH.search(text[segment.end : following.start]) is not None


def _split_to_fit(text: str, sentence: Span, count_tokens: CountTokens, max_tokens: int) -> Iterator[Span]:
    """Cuts a sentence into parts of at most `max_tokens`, between words where possible."""
    tokens = count_tokens(text[sentence.start : sentence.end])
    start = sentence.start
    while tokens > max_tokens and sentence.end - start > 1:
        length = max(1, (sentence.end - start) * max_tokens // tokens)
        end = _word_end(text, start, start + length)
        while end - start > 1 and count_tokens(text[start:end]) > max_tokens:
            length = max(1, (end - start) * 3 // 4)
            end = _word_end(text, start, start + length)
        yield Span(start=start, end=end)
        start = end + len(text[end : sentence.end]) - len(text[end : sentence.end].lstrip())
        tokens = count_tokens(text[start : sentence.end])
    yield Span(start=start, end=sentence.end)


def _word_end(text: str, start: int, end: int) -> int:
    """The last end of a word at or before `end`; `end` if there is none."""
    if end < len(text) and not text[end].isspace():
        spaces = [space.start() for space in re.finditer(r"(?<=\S)\s", text[start:end])]
        end = start + spaces[-1] if spaces else end
    return start + len(text[start:end].rstrip()) or end
