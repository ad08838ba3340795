"""What is said of a finding: by triggers before and after it, their scopes, and the section."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.answers import Assertion
from worker.entities.assertion_rules import assertion, assertions


def told(marked: str, section_kind: str | None = None, label: str = "problem") -> Assertion:
    """The assertion of the finding that is written in [brackets]."""
    start, end = marked.index("["), marked.index("]") - 1
    return assertion(marked.replace("[", "").replace("]", ""), start, end, section_kind, label)


@pytest.mark.parametrize(
    "marked",
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
def test_what_is_said_not_to_be_is_negated(marked: str) -> None:
    assert told(marked) is Assertion.NEGATED


@pytest.mark.parametrize(
    "marked",
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
def test_a_pseudo_trigger_or_an_ended_scope_leaves_a_finding_present(marked: str) -> None:
    assert told(marked) is Assertion.PRESENT


@pytest.mark.parametrize(
    ("marked", "expected"),
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
def test_uncertain_past_conditional_and_family_are_told_apart(marked: str, expected: Assertion) -> None:
    assert told(marked) is expected


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
def test_the_section_says_what_the_sentence_does_not(section_kind: str | None, expected: Assertion) -> None:
    assert told("[Diabetes].", section_kind) is expected


def test_what_is_given_after_its_dangers_were_told_is_given() -> None:
    told_of = "After potential complications of bleeding, the patient was given [fentanyl]."
    assert told(told_of, label="medication") is Assertion.PRESENT


def test_a_finding_can_be_negated_and_of_the_family_at_once() -> None:
    text = "No family history of cancer."
    assert assertions(text, 21, 27) == {Assertion.NEGATED, Assertion.FAMILY}


def test_a_letter_whose_small_form_is_longer_does_not_shift_the_scopes() -> None:
    assert told("İİİİ: no [fever].") is Assertion.NEGATED


@given(st.text(alphabet="noabt deiswhr.;?İ'\n", min_size=2, max_size=120), st.data())
def test_any_range_of_any_sentence_has_an_assertion(sentence: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(sentence) - 1))
    end = data.draw(st.integers(start + 1, len(sentence)))
    assert assertion(sentence, start, end) in Assertion


@pytest.mark.parametrize(
    ("marked", "label", "said"),
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
def test_what_is_done_is_negated_by_words_of_its_own(marked, label, said):
    assert told(marked, label=label) is said


@pytest.mark.parametrize(
    ("marked", "said"),
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
def test_a_trigger_within_a_mention_or_a_word_says_no_more_than_it_does(marked, said):
    assert told(marked) is said


@pytest.mark.parametrize(
    ("marked", "said"),
    [
        ("Her [pleural effusion] disappeared within two weeks.", Assertion.NEGATED),
        ("There were no [signs of thrombosis].", Assertion.NEGATED),
        ("Tests were all negative, the [cough] went on.", Assertion.PRESENT),
        ("No rubs, elevated jugular [distention].", Assertion.PRESENT),
    ],
)
def test_a_finding_that_went_away_is_negated_and_a_new_clause_is_not(marked, said):
    assert told(marked) is said


def test_a_list_of_short_items_is_denied_to_its_end_and_a_longer_phrase_ends_it() -> None:
    items = "chills, weight loss, wheezing, frequent cough, chest pain, varicose veins, joint pain"
    sentence = f"Negative for tremors, headaches, dizzy spells, numbness, tingling, {items}, ear infections."
    start = sentence.index("ear infections")
    assert assertion(sentence, start, start + len("ear infections")) is Assertion.NEGATED
    going_on = f"{sentence[:-1]}, he has been coming here for a year with gout."
    start = going_on.index("gout")
    assert assertion(going_on, start, start + len("gout")) is Assertion.PRESENT


def test_what_opens_a_scope_closes_none_behind_it():
    assert told("He stayed [dizzy] and free of pain.") is Assertion.PRESENT
    assert told("He stayed dizzy and free of [pain].") is Assertion.NEGATED


def test_what_stands_under_allergies_is_not_given_and_what_stands_under_a_history_may_be() -> None:
    assert told("[Sulfa], causes nausea.", "allergies", "medication") is Assertion.CONDITIONAL
    assert told("No known [allergies].", "allergies") is Assertion.NEGATED
    assert told("Gout, on [allopurinol].", "past_history", "medication") is Assertion.PRESENT
    assert told("[Gout], on allopurinol.", "past_history") is Assertion.HISTORICAL


def test_a_part_of_the_body_is_there_whatever_is_said_of_it() -> None:
    assert told("No lesion of the [liver].", label="anatomy") is Assertion.PRESENT
    assert told("Her mother's [liver] was large.", label="anatomy") is Assertion.PRESENT
