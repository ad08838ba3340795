"""Repeated mentions: further occurrences of the words of a mention in the same note."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.entities.repeated_mentions import repeated_mentions
from worker.note.word_tokens import CandidateSpan, WordTokens


def repeated_texts(text: str, *tagged: str) -> list[list[str]]:
    """Returns the texts of all occurrences of each repeated name. Each of `tagged` is tagged at its first
    occurrence."""
    spans = sorted(
        CandidateSpan(text.index(name), text.index(name) + len(name), "problem") for name in tagged
    )
    repeats = repeated_mentions(text, WordTokens.of(text), spans)
    assert all(span.label == "problem" for occurrences in repeats for span in occurrences)
    return [[text[span.start : span.end] for span in occurrences] for occurrences in repeats]


def test_a_repeated_mention_can_differ_in_case_and_number() -> None:
    assert repeated_texts("Renal cysts. A renal cyst, no other Renal  Cysts.", "Renal cysts") == [
        ["Renal cysts", "renal cyst", "Renal  Cysts"]
    ]


def test_a_name_that_occurs_once_is_not_repeated() -> None:
    assert repeated_texts("Gout and pain.", "Gout", "pain") == []


def test_a_part_of_a_longer_mention_is_no_occurrence() -> None:
    text = "Pain. Chest pain. Pain again."
    assert repeated_texts(text, "Pain", "Chest pain") == [["Pain", "Pain"]]


def test_an_abbreviation_and_its_expansion_are_the_same_name() -> None:
    text = "Deep vein thrombosis (DVT) was found. The DVT grew. Deep vein thrombosis it is."
    expected = [["Deep vein thrombosis", "DVT", "DVT", "Deep vein thrombosis"]]
    assert repeated_texts(text, "Deep vein thrombosis") == expected
    assert repeated_texts(text, "DVT") == expected


@given(st.text("ab s.", max_size=40), st.data())
def test_every_occurrence_has_the_words_of_the_mention_and_cuts_no_word(
    text: str, data: st.DataObject
) -> None:
    word_tokens = WordTokens.of(text)
    if not word_tokens.words:
        return
    index = data.draw(st.integers(0, len(word_tokens.words) - 1))
    tagged = CandidateSpan(word_tokens.starts[index], word_tokens.ends[index], "problem")
    for occurrences in repeated_mentions(text, word_tokens, [tagged]):
        assert tagged in occurrences
        for span in occurrences:
            assert span.start in word_tokens.starts
            assert span.end in word_tokens.ends
            assert text[span.start : span.end].rstrip("s") == text[tagged.start : tagged.end].rstrip("s")
