"""Titles of chosen summaries: what a note is about, not what was done on the way."""

from __future__ import annotations

from models.answers import Assertion, Entity
from worker.chosen import _title
from worker.note import Note


def note_of(text: str) -> Note:
    return Note.of(text, lambda piece: len(piece.split()), 400, 400)


def entity(text: str, words: str, label: str) -> Entity:
    start = text.index(words)
    return Entity(
        start=start,
        end=start + len(words),
        text=words,
        label=label,
        assertion=Assertion.PRESENT,
        probability=0.9,
    )


DONE = "The patient was prepped and draped. The wound was irrigated. " * 12
OPERATION = (
    "PREOPERATIVE DIAGNOSIS:  Open chest.\n\n"
    "TITLE OF OPERATION:  Delayed chest closure.\n\n"
    f"DETAILS OF THE PROCEDURE:  {DONE}"
)


def test_the_title_names_the_operation_and_not_its_steps() -> None:
    mentions = [
        entity(OPERATION, "draped", "procedure"),
        entity(OPERATION, "irrigated", "procedure"),
        entity(OPERATION, "chest closure", "procedure"),
        entity(OPERATION, "Open chest", "problem"),
    ]
    assert [one.text for one in _title(note_of(OPERATION), mentions)] == [
        "Open chest",
        "Delayed chest closure",
    ]


def test_a_step_alone_is_no_title() -> None:
    text = f"HISTORY:  He has gout and pain.\n\nDETAILS OF THE PROCEDURE:  {DONE}"
    mentions = [entity(text, "gout", "problem"), entity(text, "draped", "procedure")]
    assert [one.text for one in _title(note_of(text), mentions)] == ["gout"]


def test_without_a_mention_the_title_is_the_first_sentence_that_is_no_heading() -> None:
    [title] = _title(note_of("REVIEW OF SYSTEMS\n\nGENERAL: No fatigue was noted. No fever."), [])
    assert title.text.startswith("GENERAL: No fatigue")
