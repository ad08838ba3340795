"""Grounding of generated lists: finds the character range of each written mention in the note.

The model writes mentions in reading order, so among the occurrences of a surface the alignment selects those
that keep the order of the list. A mention never begins or ends inside a word.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from models.answers import Span
from worker.entities.list_alignment import Occurrence, align_in_order
from worker.note.word_boundaries import is_hyphenated, is_whole

_EXACT, _HYPHENATED, _LOOSE = 1.0, 0.9, 0.8
"""Scores of an occurrence in the alignment: equal to the surface, part of a hyphenated word, or equal except
for case and white space. Two loose occurrences outweigh an exact one."""
_MIN_SHARE_IN_ORDER = 0.9
"""Labels are aligned separately if one order over all labels grounds less than this share of the items that
separate orders ground: a list grouped by label is in order only within each label."""


@dataclass(frozen=True, slots=True)
class ListItem:
    """An item of a generated list."""

    label: str
    surface: str
    """The mention as the model wrote it."""


@dataclass(frozen=True, slots=True)
class GroundedMention:
    """A mention of a generated list with its characters [start, end) in the text."""

    start: int
    end: int
    label: str


@dataclass(frozen=True, slots=True)
class Grounding:
    """The result of `ground`: the mentions are disjoint and in the order of the text."""

    mentions: tuple[GroundedMention, ...]
    ungrounded: tuple[int, ...]
    """Indexes of items that do not occur in the window, or only where another item is grounded."""


def ground(text: str, window: Span, items: Sequence[ListItem]) -> Grounding:
    """Grounds each item at the intended position in text[window.start:window.end].

    Overlapping mentions of one label are merged; of overlapping mentions of several labels the longest stays.
    """
    by_surface = {
        surface: _occurrences(text, window, surface) for surface in {item.surface for item in items}
    }
    occurrences = [by_surface[item.surface] for item in items]
    aligned = align_in_order(occurrences, list(range(len(items))))
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        by_label[item.label].append(index)
    aligned_by_label = {
        index: occurrence
        for group in by_label.values()
        for index, occurrence in align_in_order(occurrences, group).items()
    }
    if len(aligned) < _MIN_SHARE_IN_ORDER * len(aligned_by_label):
        aligned = aligned_by_label
    _ground_out_of_order(items, occurrences, aligned)
    grounded = _disjoint(
        GroundedMention(aligned[i].start, aligned[i].end, items[i].label) for i in sorted(aligned)
    )
    return Grounding(mentions=grounded, ungrounded=tuple(i for i in range(len(items)) if i not in aligned))


def with_repeats(text: str, window: Span, grounded: Sequence[GroundedMention]) -> tuple[GroundedMention, ...]:
    """Adds every further occurrence of the grounded surfaces in the window, with the most frequent label.

    Case is ignored unless the surface has a capital after its first letter ("PT", "pH"). Single characters
    and plain numbers are not repeated.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    surfaces: dict[str, str] = {}
    for mention in grounded:
        surface = text[mention.start : mention.end]
        if len(surface) > 1 and not surface.isdecimal():
            surfaces.setdefault(_normalized(surface), surface)
            labels[_normalized(surface)][mention.label] += 1
    further = []
    for normalized in sorted(surfaces, key=lambda normalized: (-len(normalized), normalized)):
        for occurrence in _occurrences(text, window, surfaces[normalized]):
            is_same = _normalized(text[occurrence.start : occurrence.end]) == normalized
            if is_same and not is_hyphenated(text, occurrence.start, occurrence.end):
                further.append(
                    GroundedMention(occurrence.start, occurrence.end, labels[normalized].most_common(1)[0][0])
                )
    return _with_free(grounded, further)


def _occurrences(text: str, window: Span, surface: str) -> list[Occurrence]:
    """Occurrences in order: equal except for case and white space, at word boundaries, in the window."""
    pattern = _loose_pattern(surface)
    if pattern is None:
        return []
    occurrences = []
    offset = window.start
    while match := pattern.search(text, offset, window.end):
        offset = match.start() + 1
        start, end = match.span()
        if not is_whole(text, start, end):
            continue
        is_loose = match.group() != surface
        score = _LOOSE if is_loose else _HYPHENATED if is_hyphenated(text, start, end) else _EXACT
        occurrences.append(Occurrence(start, end, score))
    return occurrences


def _loose_pattern(surface: str) -> re.Pattern[str] | None:
    """A pattern of the surface with any white space where it has some; required only between two letters."""
    parts = surface.split()
    if not parts:
        return None
    pattern = re.escape(parts[0])
    for left, right in pairwise(parts):
        is_needed = left[-1].isalpha() and right[0].isalpha()
        pattern += (r"\s+" if is_needed else r"\s*") + re.escape(right)
    return re.compile(pattern, re.IGNORECASE)


def _ground_out_of_order(
    items: Sequence[ListItem], occurrences: Sequence[Sequence[Occurrence]], aligned: dict[int, Occurrence]
) -> None:
    """Grounds items that break the order at the free occurrence nearest to the previous item."""
    taken = {(occurrence.start, occurrence.end) for occurrence in aligned.values()}
    position = 0
    for i in range(len(items)):
        if i not in aligned:
            free = [
                occurrence for occurrence in occurrences[i] if (occurrence.start, occurrence.end) not in taken
            ]
            if not free:
                continue
            aligned[i] = min(
                free, key=lambda occurrence: (abs(occurrence.start - position), occurrence.start)
            )
            taken.add((aligned[i].start, aligned[i].end))
        position = aligned[i].start


def _disjoint(mentions: Iterable[GroundedMention]) -> tuple[GroundedMention, ...]:
    mentions_of_labels: list[GroundedMention] = []
    by_label: dict[str, list[GroundedMention]] = defaultdict(list)
    for mention in mentions:
        by_label[mention.label].append(mention)
    for label, group in by_label.items():
        spans = _merged_spans(group)
        mentions_of_labels.extend(GroundedMention(start, end, label) for start, end in spans)
    return _with_free(
        (), sorted(mentions_of_labels, key=lambda mention: (mention.start - mention.end, mention.start))
    )


def _merged_spans(mentions: Iterable[GroundedMention]) -> list[tuple[int, int]]:
    """Merges ranges that share characters; mentions that only touch stay separate."""
    merged_spans: list[tuple[int, int]] = []
    for mention in sorted(mentions, key=lambda mention: (mention.start, mention.end)):
        if merged_spans and mention.start < merged_spans[-1][1]:
            merged_spans[-1] = (merged_spans[-1][0], max(merged_spans[-1][1], mention.end))
        else:
            merged_spans.append((mention.start, mention.end))
    return merged_spans


def _with_free(
    grounded: Sequence[GroundedMention], further: Iterable[GroundedMention]
) -> tuple[GroundedMention, ...]:
    """`grounded` and those of `further` that overlap none accepted before, in the order of the text."""
    accepted = sorted(grounded, key=lambda mention: mention.start)
    starts = [mention.start for mention in accepted]
    for mention in further:
        index = bisect_left(starts, mention.start)
        is_free = (index == 0 or accepted[index - 1].end <= mention.start) and (
            index == len(accepted) or accepted[index].start >= mention.end
        )
        if is_free:
            accepted.insert(index, mention)
            starts.insert(index, mention.start)
    return tuple(accepted)


def _normalized(surface: str) -> str:
    """The surface with single spaces, and in lower case unless it is an abbreviation."""
    joined = " ".join(surface.split())
    return (
        joined
        if any(letter.isupper() for letter in joined[1:]) and not _is_all_capitals(joined)
        else joined.lower()
    )


def _is_all_capitals(surface: str) -> bool:
    """True for capitals that are too long for an abbreviation, as in a heading: "CHEST PAIN"."""
    return surface.isupper() and (" " in surface or len(surface) > 4)
