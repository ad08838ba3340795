"""Windows: token-bounded, made of sentences, with cores that partition the note."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.answers import Span
from worker.note.char_ranges import covers
from worker.note.section_headings import sections
from worker.note.sentence_splitter import sentences
from worker.note.windows import CountTokens, NoteWindow, windows

NOTES = st.text(alphabet=st.sampled_from("abcdefA1.,:; \n。中-•"), max_size=500) | st.lists(
    st.sampled_from(["HISTORY:\n", "He is well. ", "No pain, no fever.  ", "\n\n", "x" * 40, "PLAN: rest\n"]),
    max_size=40,
).map("".join)


def count_tokens(text: str) -> int:
    return len(re.findall(r"\w{1,4}|\S", text))


def cut(
    text: str, max_tokens: int = 20, overlap_sentences: int = 1, count_tokens: CountTokens = count_tokens
) -> tuple[NoteWindow, ...]:
    return windows(
        text,
        sentences(text),
        sections(text),
        count_tokens=count_tokens,
        max_tokens=max_tokens,
        overlap_sentences=overlap_sentences,
    )


@given(NOTES, st.integers(1, 60), st.integers(0, 3))
def test_cores_partition_everything_but_white_space(text: str, max_tokens: int, overlap: int) -> None:
    note_windows = cut(text, max_tokens, overlap)
    assert covers(text, [Span(start=window.core_start, end=window.core_end) for window in note_windows])
    assert all(before.core_end <= after.core_start for before, after in pairwise(note_windows))


@given(NOTES, st.integers(1, 60), st.integers(0, 3))
def test_no_window_has_more_tokens_than_allowed(text: str, max_tokens: int, overlap: int) -> None:
    for window in cut(text, max_tokens, overlap):
        assert count_tokens(text[window.start : window.end]) <= max_tokens


@given(NOTES, st.integers(1, 60), st.integers(0, 3))
def test_a_window_is_its_sentences_and_holds_its_core(text: str, max_tokens: int, overlap: int) -> None:
    for window in cut(text, max_tokens, overlap):
        assert (window.start, window.end) == (window.sentences[0].start, window.sentences[-1].end)
        assert window.start <= window.core_start < window.core_end == window.end
        assert window.core_start in {sentence.start for sentence in window.sentences}


@given(NOTES, st.integers(1, 60))
def test_windows_are_bounded_for_a_tokenizer_that_is_not_additive(text: str, max_tokens: int) -> None:
    def superadditive(part: str) -> int:
        return len(part) + len(part) ** 2 // 50

    for window in cut(text, max_tokens, 2, superadditive):
        assert superadditive(text[window.start : window.end]) <= max_tokens


def test_a_window_ends_where_a_section_begins() -> None:
    text = "HISTORY:\nShe fell at home. She broke a hip.\nPLAN:\nWe will operate soon. She can then walk."
    ends = [text[window.core_start : window.core_end] for window in cut(text, max_tokens=22)]
    assert ends[0] == "HISTORY:\nShe fell at home. She broke a hip."


def test_the_sentences_before_a_core_are_included_as_context() -> None:
    text = " ".join(f"Sentence number {number} is here." for number in range(12))
    second = cut(text, max_tokens=40, overlap_sentences=1)[1]
    assert second.start < second.core_start
    assert len([sentence for sentence in second.sentences if sentence.start < second.core_start]) == 1


def test_a_sentence_longer_than_a_window_is_cut_between_words() -> None:
    note_windows = cut("alpha beta gamma delta " * 20, max_tokens=9, overlap_sentences=0)
    text = "alpha beta gamma delta " * 20
    words = [word for window in note_windows for word in text[window.core_start : window.core_end].split()]
    assert words == text.split()


def test_a_word_longer_than_a_window_is_cut_at_characters() -> None:
    note_windows = cut("A" * 100, max_tokens=5, overlap_sentences=0)
    assert len(note_windows) >= 5
    assert sum(window.core_end - window.core_start for window in note_windows) == 100


def test_tokens_are_counted_about_once_a_sentence() -> None:
    calls: list[int] = []

    def counting(text: str) -> int:
        calls.append(len(text))
        return count_tokens(text)

    text = "She is well today. " * 1_000
    cut(text, 200, 1, counting)
    assert len(calls) < 1_300
    assert sum(calls) < 4 * len(text)


@pytest.mark.parametrize("text", ["", " \r\n\t "])
def test_a_text_without_characters_has_no_window(text: str) -> None:
    assert cut(text) == ()


def test_a_window_of_no_tokens_is_an_error() -> None:
    with pytest.raises(ValueError, match="holds nothing"):
        cut("text", max_tokens=0)
