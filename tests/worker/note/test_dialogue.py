"""A conversation as a note: questions are told only with their answers, and in the note's own words."""

from __future__ import annotations

from worker.note.dialogue import dialogue_statements, is_in_question
from worker.note.parsed_note import Note

TALK = (
    "Doctor: Hello, how are you?\nPatient: Um, I have a headache since Monday.\n"
    "Doctor: Any fever?\nPatient: No.\nDoctor: Okay.\nDoctor: You should take ibuprofen at night."
)


def note(text: str) -> Note:
    return Note.of(text, len, 1_000, 1_000)


def test_a_question_is_told_with_its_short_answer_and_never_alone():
    told = [one.text for one in dialogue_statements(note(TALK))]
    assert told == [
        "I have a headache since Monday.",
        "Any fever? No.",
        "You should take ibuprofen at night.",
    ]


def test_sources_are_the_sentences_of_question_and_answer():
    [_, asked, _] = dialogue_statements(note(TALK))
    assert [TALK[one.start : one.end] for one in asked.sources] == ["Doctor: Any fever?", "Patient: No."]


def test_speakers_in_brackets_are_speakers_too():
    told = dialogue_statements(note("[doctor] any cough ?\n[patient] no , not at all .\n"))
    assert [one.text for one in told] == ["any cough ? no , not at all ."]


def test_a_note_with_one_speaker_or_none_is_no_conversation():
    assert dialogue_statements(note("Patient: a man of 50 with fever.\nHe was given fluids.")) == []


def test_what_is_asked_is_known_by_its_sentence():
    assert is_in_question(note(TALK), TALK.index("fever"))
    assert not is_in_question(note(TALK), TALK.index("headache"))
