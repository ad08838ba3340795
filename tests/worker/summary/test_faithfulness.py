"""Faithfulness checks of summary sentences: exact sources, and flags for what the note does not support."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.answers import Flag
from worker.note.sentence_splitter import sentences
from worker.summary.faithfulness import MAX_SOURCES, check

NOTE = """HISTORY: A 66-year-old woman presented with chest pain radiating to the left arm for two hours.
She denies fever, cough or shortness of breath.  Blood pressure was 150/90 and the troponin was 4.5.
She was given aspirin 81 mg and metoprolol 25 mg b.i.d. in the emergency department.  There was no edema.
Catheterization on 12/05/06 showed a 90% stenosis of the left anterior descending artery.
A 1,200 mL bolus was given.
PLAN: Continue Lasix 40 mg daily.  Follow up in cardiology clinic in 2 weeks."""


def flags(sentence: str, *medications: str) -> tuple[Flag, ...]:
    return check(sentence, sentences(NOTE), NOTE, medications)[1]


@pytest.mark.parametrize("sentence", [NOTE[span.start : span.end] for span in sentences(NOTE)])
def test_a_sentence_copied_from_the_note_has_no_flag_and_itself_as_source(sentence: str) -> None:
    sources, raised_flags = check(sentence, sentences(NOTE), NOTE)
    assert raised_flags == ()
    assert NOTE[sources[0].start : sources[0].end] == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "Chest pain radiated to the left arm for 2 hours.",
        "A bolus of 1200 mL was given.",
        "Blood pressure was 150.0/90.",
        "1. Left anterior descending artery stenosis of 90%, on December 5, 2006.",
        "Continue furosemide 40 mg daily.",
        "No fever, cough or shortness of breath.",
        "Follow-up with cardiology clinic in two weeks.",
    ],
)
def test_the_same_facts_in_another_form_have_no_flag(sentence: str) -> None:
    assert flags(sentence) == ()


@pytest.mark.parametrize(
    "sentence",
    [
        "A 67-year-old woman presented with chest pain.",
        "The troponin was 5.4.",
        "She was given aspirin 25 mcg.",
        "Follow up in cardiology clinic in three weeks.",
        "Catheterization on 12/05/07 showed a stenosis of the left anterior descending artery.",
    ],
)
def test_a_number_that_the_note_does_not_have_is_flagged(sentence: str) -> None:
    assert flags(sentence) == (Flag.NUMBER_NOT_IN_NOTE,)


@pytest.mark.parametrize("name", ["lisinopril", "Warfarin", "atorvastatin", "Plavix", "xyzmedol"])
def test_a_medication_that_the_note_does_not_have_is_flagged(name: str) -> None:
    sentence = f"She was given {name} 81 mg in the emergency department."
    assert flags(sentence) == (Flag.MEDICATION_NOT_IN_NOTE,)
    assert flags(sentence, name) == ()


@pytest.mark.parametrize(
    "sentence",
    [
        "She has fever, cough or shortness of breath.",
        "There was edema.",
        "She denies chest pain radiating to the arm.",
    ],
)
def test_a_negation_that_differs_from_the_source_is_flagged(sentence: str) -> None:
    assert flags(sentence) == (Flag.NEGATION_DIFFERS,)


def test_a_sentence_without_a_source_is_unsupported() -> None:
    assert flags("Colonoscopy revealed several sessile polyps.") == (Flag.UNSUPPORTED,)


def test_a_sentence_made_of_several_has_all_of_them_as_sources() -> None:
    sources, raised_flags = check(
        "Chest pain radiating to the left arm; no edema; bolus given.", sentences(NOTE), NOTE
    )
    assert raised_flags == ()
    assert 2 <= len(sources) <= MAX_SOURCES


def test_han_text_is_compared_by_its_characters() -> None:
    note = "患者胸痛三天。无发热。血压正常。"
    sources, raised_flags = check("胸痛三天。", sentences(note), note)
    assert [note[s.start : s.end] for s in sources] == ["患者胸痛三天。"]
    assert Flag.UNSUPPORTED not in raised_flags


@given(st.text(alphabet="ab 1.,no\n。中", max_size=80), st.text(alphabet="ab 1.,no中", max_size=40))
def test_sources_are_sentences_of_the_note_without_repeats(note: str, sentence: str) -> None:
    spans = sentences(note)
    sources, raised_flags = check(sentence, spans, note)
    assert set(sources) <= set(spans)
    assert len(sources) == len(set(sources)) <= MAX_SOURCES
    assert len(raised_flags) == len(set(raised_flags))
