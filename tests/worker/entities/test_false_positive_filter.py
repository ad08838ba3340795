"""False-positive filter: it removes, relabels and trims tagged mentions."""

from __future__ import annotations

import pytest

from worker.entities.false_positive_filter import corrected_label, name_span
from worker.note.parsed_note import Note


def filtered_label(text: str, words: str, label: str) -> str | None:
    note = Note.of(text, lambda part: len(part.split()), 400, 400)
    start = text.index(words)
    return corrected_label(note, start, start + len(words), label)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The patient is afebrile.", "afebrile"),
        ("Neck veins not distended.", "veins not distended"),
        ("There is good turgor.", "turgor"),
        ("It has a full range of motion.", "full range of motion"),
        ("There was minimal blood loss.", "blood loss"),
        ("He had hepatitis A and B vaccines.", "hepatitis A"),
        ("Infectious disease consultation was obtained.", "Infectious disease"),
        ("A bipolar hemiarthroplasty was done.", "bipolar"),
        ("Scope advanced without difficulty.", "difficulty"),
        ("EXAM:  Normal lids, OU.", "lids"),
        ("ANESTHESIA:  LMA.", "LMA"),
        ("IMPRESSION:  Gout.", "IMPRESSION"),
        ("He was well.surgery, hernia, sac, testicle, cord,", "hernia"),
        ("The area was acute.", "acute"),
    ],
)
def test_a_false_positive_problem_is_removed(text: str, words: str) -> None:
    assert filtered_label(text, words, "problem") is None


@pytest.mark.parametrize(
    ("text", "words", "label"),
    [
        ("There is limited range of motion.", "range of motion", "problem"),
        ("She ambulates with difficulty.", "difficulty", "problem"),
        ("She has bipolar disorder.", "bipolar", "problem"),
        ("Levodopa caused LID in half.", "LID", "problem"),
        ("The MMSE was 27/30.", "MMSE", "test"),
        ("She refused CMF therapy.", "CMF", "medication"),
        ("Normal pressure hydrocephalus was found.", "Normal pressure hydrocephalus", "problem"),
        ("Bilateral inguinal herniorrhaphy was done.", "inguinal herniorrhaphy", "procedure"),
    ],
)
def test_a_problem_is_kept_or_relabelled(text: str, words: str, label: str) -> None:
    assert filtered_label(text, words, "problem") == label


@pytest.mark.parametrize(
    ("text", "words", "label"),
    [
        ("Skin was closed with 4-0 Vicryl.", "Vicryl", None),
        ("She does have a couple of sodas a day.", "sodas", None),
        ("SOCIAL HISTORY:  Cocaine in the past.", "Cocaine", None),
        ("He got topical cocaine solution.", "cocaine", "medication"),
        ("Insulin is given qAM.", "qAM", None),
        ("Take aspirin t.i.d. for pain.", "t.i", None),
        ("The creatinine is 0.92.", "creatinine", "test"),
        ("Sodium 136, potassium 4.2.", "potassium", "test"),
        ("Potassium 20 mEq daily.", "Potassium", "medication"),
        ("She takes calcium with D.", "calcium", "medication"),
        ("Dispense #40 of these.", "#40", None),
        ("Prophylaxis for Group B Streptococcus.", "Group B Streptococcus", None),
    ],
)
def test_a_medication_is_kept_relabelled_or_removed(text: str, words: str, label: str | None) -> None:
    assert filtered_label(text, words, "medication") == label


@pytest.mark.parametrize(
    ("text", "tagged", "label", "name"),
    [
        ("Tylenol p.r.n. pain", "Tylenol p.r", "medication", "Tylenol"),
        ("a mass of the neck", "mass of the", "problem", "mass"),
        ("some deformity of it", "deformity of", "problem", "deformity"),
    ],
)
def test_a_name_excludes_words_tagged_by_mistake(text: str, tagged: str, label: str, name: str) -> None:
    note = Note.of(text, len, 400, 400)
    start = text.index(tagged)
    first, last = name_span(note, start, start + len(tagged), label)
    assert text[first:last] == name
