"""Word boundaries in any script."""

from __future__ import annotations

import pytest

from worker.note.word_boundaries import is_boundary, is_whole


@pytest.mark.parametrize("text", ["pain|ful", "x|2", "4|.5", "4.|5", "1,|200", "e|\u0301", "10|:30", "ab|_c"])
def test_there_is_no_boundary_inside_a_word_or_number(text: str) -> None:
    assert not is_boundary(text.replace("|", ""), text.index("|"))


@pytest.mark.parametrize(
    "text", ["|pain", "pain|", "pain|.", "150|/90", "胸|痛", "5|. Next", "C5|-C6", "pain|'s"]
)
def test_boundaries_are_at_punctuation_at_text_ends_and_between_han_characters(text: str) -> None:
    assert is_boundary(text.replace("|", ""), text.index("|"))


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [("non-tender", "tender", False), ("C5-C6", "C6", True), ("x-ray", "ray", False)],
)
def test_a_bound_prefix_makes_one_word(text: str, word: str, expected: bool) -> None:
    start = text.index(word)
    assert is_whole(text, start, start + len(word)) is expected
