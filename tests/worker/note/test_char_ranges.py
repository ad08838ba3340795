"""Ranges: their union holds the same characters, and `covers` is true only of a whole text."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from models.answers import Span
from worker.note.char_ranges import covers, union_of_ranges

SPANS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 10)).map(lambda p: Span(start=p[0], end=p[0] + p[1])),
    max_size=12,
)


def characters(spans: object) -> set[int]:
    return {offset for span in spans for offset in range(span.start, span.end)}  # type: ignore[attr-defined]


@given(SPANS)
def test_a_union_holds_the_same_characters_in_disjoint_ranges_with_gaps(spans: list[Span]) -> None:
    united = union_of_ranges(spans)
    assert characters(united) == characters(spans)
    assert all(before.end < after.start for before, after in pairwise(united))


@given(st.text(alphabet="ab \n", max_size=50), SPANS)
def test_a_text_is_covered_when_each_character_but_white_space_is(text: str, spans: list[Span]) -> None:
    needed = {offset for offset, character in enumerate(text) if not character.isspace()}
    assert covers(text, spans) == (needed <= characters(spans))
