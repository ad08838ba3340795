"""Assertion status of a mention: triggers before and after it, their scopes, and the section."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.answers import Assertion
from worker.entities.assertion_rules import assertion, assertions


def bracketed_assertion(sentence: str, section_kind: str | None = None, label: str = "problem") -> Assertion:
    """Returns the assertion status of the mention in [brackets]."""
    start, end = sentence.index("["), sentence.index("]") - 1
    return assertion(sentence.replace("[", "").replace("]", ""), start, end, section_kind, label)


@pytest.mark.parametrize(
    "sentence",
    [
        "She denies [chest pain] or fever.",
        "She denies chest pain or [fever].",
        "No evidence of [pneumonia].",
        "This is not consistent with [pericarditis].",
        "[Pneumothorax] was ruled out.",
        "The wound is clean without\nany [erythema].",
        "Guaiac [blood] not seen.",
        "There was [no fever].",
    ],
)
def test_a_finding_in_the_scope_of_a_negation_trigger_is_negated(sentence: str) -> None:
    assert bracketed_assertion(sentence) is Assertion.NEGATED


@pytest.mark.parametrize(
    "sentence",
    [
        "He has [chest pain].",
        "No fever but he has [cough].",
        "Denies fever; [cough] is worse.",
        "No change in the [mass].",
        "Gram-negative [sepsis].",
        "A non-tender [mass].",
        "Not only [fever].",
    ],
)
def test_a_pseudo_trigger_or_an_ended_scope_leaves_a_finding_present(sentence: str) -> None:
    assert bracketed_assertion(sentence) is Assertion.PRESENT


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Possible [pneumonia] on the left.", Assertion.POSSIBLE),
        ("[Pneumonia] cannot be ruled out.", Assertion.POSSIBLE),
        ("[Embolism] has not been ruled out.", Assertion.POSSIBLE),
        ("? [pneumonia]", Assertion.POSSIBLE),
        ("Status post [stroke].", Assertion.HISTORICAL),
        ("Past medical history is significant for asthma and [gout].", Assertion.HISTORICAL),
        ("He had [hepatitis] ten years ago.", Assertion.HISTORICAL),
        ("HISTORY: The patient is a boy with [Down syndrome].", Assertion.PRESENT),
        ("Surgical history: [appendectomy].", Assertion.HISTORICAL),
        ("Return if there is any [fever].", Assertion.CONDITIONAL),
        ("Tylenol as needed for [pain].", Assertion.CONDITIONAL),
        ("Risks included but were not limited to bleeding and [infection].", Assertion.CONDITIONAL),
        ("The potential complications of bleeding and [perforation] were told.", Assertion.CONDITIONAL),
        ("Risks of the surgery were told to include, among others, [infection].", Assertion.CONDITIONAL),
        ("She was told of complications which might occur: [bleeding].", Assertion.CONDITIONAL),
        ("One tablet p.r.n. [pain], and he has gout.", Assertion.CONDITIONAL),
        ("One tablet p.r.n. pain, and he has [gout].", Assertion.PRESENT),
        ("She is well; if she develops any [vomiting] she should return.", Assertion.CONDITIONAL),
        ("She has a three-year history of [small cell lung cancer].", Assertion.PRESENT),
        ("Her husband noted mild [dysarthria].", Assertion.PRESENT),
        ("An area of relative sparing and [inflammation].", Assertion.PRESENT),
        ("[Swelling] with questionable early disease.", Assertion.PRESENT),
        ("[Swelling] is questionable.", Assertion.POSSIBLE),
        ("Mother died of [breast cancer].", Assertion.FAMILY),
        ("Discharged in the care of his mother with [contusions].", Assertion.PRESENT),
        ("No family history of [breast cancer].", Assertion.NEGATED),
    ],
)
def test_uncertainty_temporality_condition_and_experiencer_are_distinguished(
    sentence: str, expected: Assertion
) -> None:
    assert bracketed_assertion(sentence) is expected


@pytest.mark.parametrize(
    ("section_kind", "expected"),
    [
        ("family_history", Assertion.FAMILY),
        ("past_history", Assertion.HISTORICAL),
        ("differential", Assertion.POSSIBLE),
        ("findings", Assertion.PRESENT),
        (None, Assertion.PRESENT),
    ],
)
def test_the_section_decides_if_the_sentence_has_no_trigger(
    section_kind: str | None, expected: Assertion
) -> None:
    assert bracketed_assertion("[Diabetes].", section_kind) is expected


def test_a_medication_given_after_a_discussion_of_risks_is_present() -> None:
    sentence = "After potential complications of bleeding, the patient was given [fentanyl]."
    assert bracketed_assertion(sentence, label="medication") is Assertion.PRESENT


def test_a_finding_can_be_negated_and_of_the_family_at_once() -> None:
    text = "No family history of cancer."
    assert assertions(text, 21, 27) == {Assertion.NEGATED, Assertion.FAMILY}


def test_a_letter_with_a_longer_lowercase_form_does_not_shift_the_scopes() -> None:
    assert bracketed_assertion("İİİİ: no [fever].") is Assertion.NEGATED


@given(st.text(alphabet="noabt deiswhr.;?İ'\n", min_size=2, max_size=120), st.data())
def test_any_range_of_any_sentence_has_an_assertion(sentence: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(sentence) - 1))
    end = data.draw(st.integers(start + 1, len(sentence)))
    assert assertion(sentence, start, end) in Assertion


@pytest.mark.parametrize(
    ("sentence", "label", "expected"),
    [
        ("[Aspirin] was discontinued.", "medication", Assertion.NEGATED),
        ("He refused further [chemotherapy].", "medication", Assertion.NEGATED),
        ("He was on no [diuretics].", "medication", Assertion.NEGATED),
        ("A [lumbar puncture] was not performed.", "test", Assertion.NEGATED),
        ("[Blood cultures] were negative.", "test", Assertion.PRESENT),
        ("There was no expression of [cytokeratin].", "test", Assertion.PRESENT),
        ("The [chest tube] was removed.", "procedure", Assertion.NEGATED),
        ("The tumor could not be [resected].", "procedure", Assertion.NEGATED),
        ("The [tumor] was removed.", "problem", Assertion.PRESENT),
        ("The cough did not respond to [antibiotics].", "medication", Assertion.PRESENT),
        ("She could not walk after [surgery].", "procedure", Assertion.PRESENT),
        ("It did not show [stents].", "procedure", Assertion.PRESENT),
        ("After starting [diuretics] the symptoms resolved.", "medication", Assertion.PRESENT),
        ("She is allergic to [penicillin].", "medication", Assertion.CONDITIONAL),
        ("Lidocaine without [epinephrine] and 0.5% bupivacaine.", "medication", Assertion.NEGATED),
        ("Lidocaine without epinephrine and 0.5% [bupivacaine].", "medication", Assertion.PRESENT),
    ],
)
def test_treatments_and_tests_have_negation_triggers_of_their_own(sentence, label, expected):
    assert bracketed_assertion(sentence, label=label) is expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The abdomen was [no masses], soft.", Assertion.NEGATED),
        ("She noticed an [absence of appetite].", Assertion.PRESENT),
        ("The abdomen is non-[tender].", Assertion.NEGATED),
        ("A non-scarring [alopecia] was seen.", Assertion.PRESENT),
        ("Because of [gout] he was denied a transplant.", Assertion.PRESENT),
        ("There was a [lesion] with free air.", Assertion.PRESENT),
        ("Stones were ruled out and the diagnosis of [gout] was made.", Assertion.PRESENT),
    ],
)
def test_a_trigger_inside_a_mention_or_a_word_has_a_limited_scope(sentence, expected):
    assert bracketed_assertion(sentence) is expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Her [pleural effusion] disappeared within two weeks.", Assertion.NEGATED),
        ("There were no [signs of thrombosis].", Assertion.NEGATED),
        ("Tests were all negative, the [cough] went on.", Assertion.PRESENT),
        ("No rubs, elevated jugular [distention].", Assertion.PRESENT),
    ],
)
def test_a_resolved_finding_is_negated_and_one_in_a_new_clause_is_not(sentence, expected):
    assert bracketed_assertion(sentence) is expected


def test_negation_covers_a_list_of_short_items_and_ends_at_a_longer_phrase() -> None:
    items = "chills, weight loss, wheezing, frequent cough, chest pain, varicose veins, joint pain"
    sentence = f"Negative for tremors, headaches, dizzy spells, numbness, tingling, {items}, ear infections."
    start = sentence.index("ear infections")
    assert assertion(sentence, start, start + len("ear infections")) is Assertion.NEGATED
    continued_sentence = f"{sentence[:-1]}, he has been coming here for a year with gout."
    start = continued_sentence.index("gout")
    assert assertion(continued_sentence, start, start + len("gout")) is Assertion.PRESENT


def test_a_trigger_with_a_forward_scope_does_not_negate_words_before_it():
    assert bracketed_assertion("He stayed [dizzy] and free of pain.") is Assertion.PRESENT
    assert bracketed_assertion("He stayed dizzy and free of [pain].") is Assertion.NEGATED


def test_a_medication_is_conditional_under_allergies_and_present_under_past_history() -> None:
    assert bracketed_assertion("[Sulfa], causes nausea.", "allergies", "medication") is Assertion.CONDITIONAL
    assert bracketed_assertion("No known [allergies].", "allergies") is Assertion.NEGATED
    assert bracketed_assertion("Gout, on [allopurinol].", "past_history", "medication") is Assertion.PRESENT
    assert bracketed_assertion("[Gout], on allopurinol.", "past_history") is Assertion.HISTORICAL


def test_anatomy_is_always_present() -> None:
    assert bracketed_assertion("No lesion of the [liver].", label="anatomy") is Assertion.PRESENT
    assert bracketed_assertion("Her mother's [liver] was large.", label="anatomy") is Assertion.PRESENT
