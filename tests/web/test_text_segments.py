"""Text segments of the web application: they cover the whole note, spans nest, and each highlight covers
exactly its characters."""

from __future__ import annotations

from hypothesis import given, strategies

from web.text_segments import HighlightTarget, TextSegment, segments_of

TEXT = "No fever. Aspirin 100 mg daily, no rash."


@strategies.composite
def highlight_targets(draw: strategies.DrawFn) -> list[HighlightTarget]:
    edges = strategies.integers(0, len(TEXT))
    pairs = draw(strategies.lists(strategies.tuples(edges, edges), max_size=8))
    return [HighlightTarget(f"k{n}", min(p), max(p)) for n, p in enumerate(pairs) if p[0] != p[1]]


def highlighted_text(segments: list[TextSegment], key: str) -> str:
    return "".join(leaf.text for segment in segments for leaf in segment.leaves if key in leaf.keys)


@given(highlight_targets(), highlight_targets())
def test_all_segments_together_are_the_note(
    spans: list[HighlightTarget], highlights: list[HighlightTarget]
) -> None:
    leaves = [leaf for segment in segments_of(TEXT, spans, highlights) for leaf in segment.leaves]
    assert "".join(leaf.text for leaf in leaves) == TEXT
    assert all(TEXT.startswith(leaf.text, leaf.start) for leaf in leaves)


@given(highlight_targets(), highlight_targets())
def test_each_highlight_covers_exactly_its_characters(
    spans: list[HighlightTarget], highlights: list[HighlightTarget]
) -> None:
    segments = segments_of(TEXT, spans, highlights)
    assert [highlighted_text(segments, highlight.key) for highlight in highlights] == [
        TEXT[highlight.start : highlight.end] for highlight in highlights
    ]


@given(highlight_targets())
def test_a_span_begins_and_ends_once(spans: list[HighlightTarget]) -> None:
    segments = [segment for segment in segments_of(TEXT, spans, []) if segment.span_index is not None]
    shown = {segment.span_index for segment in segments}
    assert sorted(segment.span_index for segment in segments if segment.is_first) == sorted(shown)  # type: ignore[type-var]
    assert sorted(segment.span_index for segment in segments if segment.is_last) == sorted(shown)  # type: ignore[type-var]


def test_the_shorter_of_two_overlapping_spans_is_shown() -> None:
    outer, inner = HighlightTarget("outer", 10, 30), HighlightTarget("inner", 18, 24)
    segments = segments_of(TEXT, [outer, inner], [])
    shown = [("".join(leaf.text for leaf in segment.leaves), segment.span_index) for segment in segments]
    assert shown[1:4] == [("Aspirin ", 0), ("100 mg", 1), (" daily", 0)]


def test_a_long_note_keeps_thousands_of_spans() -> None:
    text = "word " * 2_000
    spans = [HighlightTarget("", start, start + 4) for start in range(0, len(text), 5)]
    assert len(segments_of(text, spans, spans)) == 4_000
