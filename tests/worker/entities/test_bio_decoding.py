"""A note cut into pieces: nothing is lost, marks nest, and what lights up is where it was said to be."""

from __future__ import annotations

from hypothesis import given, strategies

from web.text_segments import HighlightTarget, TextSegment, segments_of

TEXT = "No fever. Aspirin 100 mg daily, no rash."


@strategies.composite
def stretches(draw: strategies.DrawFn) -> list[HighlightTarget]:
    edges = strategies.integers(0, len(TEXT))
    pairs = draw(strategies.lists(strategies.tuples(edges, edges), max_size=8))
    return [HighlightTarget(f"k{n}", min(p), max(p)) for n, p in enumerate(pairs) if p[0] != p[1]]


def lit(cut: list[TextSegment], key: str) -> str:
    return "".join(leaf.text for piece in cut for leaf in piece.leaves if key in leaf.keys)


@given(stretches(), stretches())
def test_the_pieces_together_are_the_note(
    marks: list[HighlightTarget], lights: list[HighlightTarget]
) -> None:
    leaves = [leaf for piece in segments_of(TEXT, marks, lights) for leaf in piece.leaves]
    assert "".join(leaf.text for leaf in leaves) == TEXT
    assert all(TEXT.startswith(leaf.text, leaf.start) for leaf in leaves)


@given(stretches(), stretches())
def test_each_light_is_on_exactly_its_characters(
    marks: list[HighlightTarget], lights: list[HighlightTarget]
) -> None:
    cut = segments_of(TEXT, marks, lights)
    assert [lit(cut, one.key) for one in lights] == [TEXT[one.start : one.end] for one in lights]


@given(stretches())
def test_a_mark_begins_and_ends_once(marks: list[HighlightTarget]) -> None:
    segments = [segment for segment in segments_of(TEXT, marks, []) if segment.span_index is not None]
    shown = {segment.span_index for segment in segments}
    assert sorted(segment.span_index for segment in segments if segment.is_first) == sorted(shown)  # type: ignore[type-var]
    assert sorted(segment.span_index for segment in segments if segment.is_last) == sorted(shown)  # type: ignore[type-var]


def test_the_shorter_of_two_marks_is_shown_where_both_are() -> None:
    outer, inner = HighlightTarget("outer", 10, 30), HighlightTarget("inner", 18, 24)
    segments = segments_of(TEXT, [outer, inner], [])
    shown = [("".join(leaf.text for leaf in segment.leaves), segment.span_index) for segment in segments]
    assert shown[1:4] == [("Aspirin ", 0), ("100 mg", 1), (" daily", 0)]


def test_a_long_note_with_thousands_of_marks_keeps_each() -> None:
    text = "word " * 2_000
    marks = [HighlightTarget("", start, start + 4) for start in range(0, len(text), 5)]
    assert len(segments_of(text, marks, marks)) == 4_000
