"""Where in a tokenized text a character offset falls."""

from __future__ import annotations

from collections.abc import Sequence

from worker.engine.api import Choice


def places_of(choice: Choice, offsets: Sequence[tuple[int, int]]) -> Sequence[int]:
    """The tokens after which the choice is made."""
    return range(len(offsets)) if choice.ends is None else tokens_at(choice.ends, offsets)


def tokens_at(ends: Sequence[int], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """For each character end the first token that reaches it; the last token where none does.

    `ends` ascend; `offsets`: each token's characters [start, end).
    """
    places, place = [], 0
    for end in ends:
        while place < len(offsets) - 1 and offsets[place][1] < end:
            place += 1
        places.append(place)
    return places
