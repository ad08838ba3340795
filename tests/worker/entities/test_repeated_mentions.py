"""Where the words of a mention stand again in a note."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.entities.repeated_mentions import repeated_mentions
from worker.note.word_tokens import CandidateSpan, WordTokens


def again(text: str, *marked: str) -> list[list[str]]:
    """The places of what recurs, as the note has them; each of `marked` at its first place."""
    stretches = sorted(
        CandidateSpan(text.index(one), text.index(one) + len(one), "problem") for one in marked
    )
    found = repeated_mentions(text, WordTokens.of(text), stretches)
    assert all(one.label == "problem" for places in found for one in places)
    return [[text[one.start : one.end] for one in places] for places in found]


def test_the_same_words_in_any_case_and_number() -> None:
    assert again("Renal cysts. A renal cyst, no other Renal  Cysts.", "Renal cysts") == [
        ["Renal cysts", "renal cyst", "Renal  Cysts"]
    ]


def test_what_stands_once_does_not_recur() -> None:
    assert again("Gout and pain.", "Gout", "pain") == []


def test_a_part_of_a_longer_mention_is_no_place_of_its_own() -> None:
    text = "Pain. Chest pain. Pain again."
    assert again(text, "Pain", "Chest pain") == [["Pain", "Pain"]]


def test_an_abbreviation_stands_for_what_the_note_says() -> None:
    text = "Deep vein thrombosis (DVT) was found. The DVT grew. Deep vein thrombosis it is."
    expected = [["Deep vein thrombosis", "DVT", "DVT", "Deep vein thrombosis"]]
    assert again(text, "Deep vein thrombosis") == expected
    assert again(text, "DVT") == expected


@given(st.text("ab s.", max_size=40), st.data())
def test_every_place_has_the_words_of_a_mark_and_none_cuts_a_word(text: str, data: st.DataObject) -> None:
    pieces = WordTokens.of(text)
    if not pieces.words:
        return
    place = data.draw(st.integers(0, len(pieces.words) - 1))
    mark = CandidateSpan(pieces.starts[place], pieces.ends[place], "problem")
    for places in repeated_mentions(text, pieces, [mark]):
        assert mark in places
        for one in places:
            assert one.start in pieces.starts
            assert one.end in pieces.ends
            assert text[one.start : one.end].rstrip("s") == text[mark.start : mark.end].rstrip("s")
