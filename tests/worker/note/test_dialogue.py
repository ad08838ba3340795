"""Dialogue notes: a question becomes a statement only with its answer, in the words of the note."""

from __future__ import annotations

from worker.note.dialogue import dialogue_statements, is_in_question
from worker.note.parsed_note import Note

DIALOGUE = (
    "Doctor: Hello, how are you?\nPatient: Um, I have a headache since Monday.\n"
    "Doctor: Any fever?\nPatient: No.\nDoctor: Okay.\nDoctor: You should take ibuprofen at night."
)


def note(text: str) -> Note:
    return Note.of(text, len, 1_000, 1_000)


def test_a_question_forms_a_statement_with_its_short_answer_and_never_alone():
    texts = [statement.text for statement in dialogue_statements(note(DIALOGUE))]
    assert texts == [
        "I have a headache since Monday.",
        "Any fever? No.",
        "You should take ibuprofen at night.",
    ]


def test_sources_are_the_sentences_of_question_and_answer():
    [_, question_and_answer, _] = dialogue_statements(note(DIALOGUE))
    assert [DIALOGUE[span.start : span.end] for span in question_and_answer.sources] == [
        "Doctor: Any fever?",
        "Patient: No.",
    ]


def test_speakers_in_brackets_are_speakers_too():
    statements = dialogue_statements(note("[doctor] any cough ?\n[patient] no , not at all .\n"))
    assert [statement.text for statement in statements] == ["any cough ? no , not at all ."]


def test_a_note_with_one_speaker_or_none_is_no_conversation():
    assert dialogue_statements(note("Patient: a man of 50 with fever.\nHe was given fluids.")) == []


def test_an_offset_inside_a_question_is_recognized():
    assert is_in_question(note(DIALOGUE), DIALOGUE.index("fever"))
    assert not is_in_question(note(DIALOGUE), DIALOGUE.index("headache"))
