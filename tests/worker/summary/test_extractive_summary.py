"""Extractive summaries: they hold the topic of the note and leave out incidental details."""

from __future__ import annotations

import pytest

from models.answers import Assertion, Attribute, Entity, Span
from worker.note.parsed_note import Note
from worker.summary.extractive import _one_sentence, _problems, _title
from worker.summary.mention_lists import medication_list, mention_list
from worker.summary.sentence_selection import _FOLLOW_UP_PHRASE, select_sentences
from worker.summary.sourced_phrases import SourcedPhrase


def note_of(text: str) -> Note:
    return Note.of(text, lambda part: len(part.split()), 400, 400)


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


STEPS = "The patient was prepped and draped. The wound was irrigated. " * 12
OPERATION = (
    "PREOPERATIVE DIAGNOSIS:  Open chest.\n\n"
    "TITLE OF OPERATION:  Delayed chest closure.\n\n"
    f"DETAILS OF THE PROCEDURE:  {STEPS}"
)


def test_the_title_names_the_operation_and_not_its_steps() -> None:
    mentions = [
        entity(OPERATION, "draped", "procedure"),
        entity(OPERATION, "irrigated", "procedure"),
        entity(OPERATION, "chest closure", "procedure"),
        entity(OPERATION, "Open chest", "problem"),
    ]
    assert [phrase.text for phrase in _title(note_of(OPERATION), mentions)] == [
        "Open chest",
        "Delayed chest closure",
    ]


def test_a_step_alone_is_no_title() -> None:
    text = f"HISTORY:  He has gout and pain.\n\nDETAILS OF THE PROCEDURE:  {STEPS}"
    mentions = [entity(text, "gout", "problem"), entity(text, "draped", "procedure")]
    assert [phrase.text for phrase in _title(note_of(text), mentions)] == ["gout"]


def test_without_a_mention_the_title_is_the_first_sentence_that_is_no_heading() -> None:
    [title] = _title(note_of("REVIEW OF SYSTEMS\n\nGENERAL: No fatigue was noted. No fever."), [])
    assert title.text == "No fatigue was noted."


def test_a_test_is_listed_with_the_value_before_or_after_it() -> None:
    text = "She had a normal MRI of the head. Hematocrit was 31."
    values = {"MRI": "normal", "Hematocrit": "31"}
    mentions = [
        entity(text, test, "test").model_copy(update={"attributes": (attribute(text, "value", value),)})
        for test, value in values.items()
    ]
    texts = [phrase.text for phrase in mention_list(note_of(text), mentions, "test", 20)]
    assert texts == ["normal MRI", "Hematocrit was 31"]


def test_a_test_far_from_its_value_is_not_listed() -> None:
    text = "An examination that was done shortly before the procedure was unremarkable."
    mention = entity(text, "examination", "test").model_copy(
        update={"attributes": (attribute(text, "value", "unremarkable"),)}
    )
    assert mention_list(note_of(text), [mention], "test", 20) == []


def test_the_title_uses_the_longer_of_two_names() -> None:
    text = "HISTORY:  Foot pain. Now the pain is in his toes, much pain, and more pain at night."
    pain = entity(text, "pain", "problem")
    others = [
        pain.model_copy(update={"start": start, "end": start + 4})
        for start in (text.index("pain is"), text.index("pain, and"), text.index("pain at"))
    ]
    title = _title(note_of(text), [entity(text, "Foot pain", "problem"), *others])
    assert [phrase.text for phrase in title] == ["Foot pain"]


def attribute(text: str, kind: str, words: str) -> Attribute:
    start = text.index(words)
    return Attribute(kind=kind, start=start, end=start + len(words), text=words)


DISCHARGE_SUMMARY = (
    "DISCHARGE SUMMARY\n\nPATIENT:  Jane Roe.\n\n"
    "DISCHARGE DIAGNOSES:\n1. Acute heart failure.\n2. Hypokalemia, resolved.\n\n"
    "HOSPITAL COURSE:  She was given furosemide. A cough was noted on the third day of it.\n\n"
    "DISCHARGE MEDICATIONS:\n1. Apixaban 5 mg twice daily.\n2. Insulin glargine (Lantus 8 units) daily.\n\n"
    "STOPPED:  losartan 50 mg daily.\n\n"
    "Dictated by the attending physician on the ward."
)


def medication(words: str, dose: str) -> Entity:
    mention = entity(DISCHARGE_SUMMARY, words, "medication")
    return mention.model_copy(update={"attributes": (attribute(DISCHARGE_SUMMARY, "dosage", dose),)})


def test_problems_of_the_diagnosis_list_come_before_other_problems() -> None:
    mentions = [
        entity(DISCHARGE_SUMMARY, "cough", "problem"),
        entity(DISCHARGE_SUMMARY, "Hypokalemia", "problem"),
        entity(DISCHARGE_SUMMARY, "heart failure", "problem"),
    ]
    assert [phrase.text for phrase in _problems(note_of(DISCHARGE_SUMMARY), mentions, 40)] == [
        "Acute heart failure",
        "Hypokalemia, resolved",
        "cough",
    ]


def test_the_medication_list_has_doses_and_no_stopped_medication() -> None:
    mentions = [
        entity(DISCHARGE_SUMMARY, "furosemide", "medication"),
        medication("Apixaban", "5 mg"),
        medication("Insulin glargine", "8 units"),
        medication("losartan", "50 mg"),
    ]
    assert [phrase.text for phrase in medication_list(note_of(DISCHARGE_SUMMARY), mentions, 40)] == [
        "Apixaban 5 mg",
        "Insulin glargine",
    ]


def test_administrative_lines_are_not_selected() -> None:
    note = note_of(DISCHARGE_SUMMARY)
    scored = [(Span(start=sentence.start, end=sentence.end), 0.5) for sentence in note.sentences]
    texts = [phrase.text for phrase in select_sentences(note, scored, 400, excluded=())]
    assert "She was given furosemide." in texts
    assert not any("Jane Roe" in selected or "DISCHARGE SUMMARY" in selected for selected in texts)


@pytest.mark.parametrize(("is_present", "problems"), [(True, ["Pulmonary embolism"]), (False, [])])
def test_a_problem_negated_after_a_comma_is_not_cut_at_the_comma(
    is_present: bool, problems: list[str]
) -> None:
    text = (
        "IMPRESSION:  Pulmonary embolism, which we thought of for two whole days and then for good reasons "
        "ruled out by angiography of the chest."
    )
    mention = entity(text, "Pulmonary embolism", "problem")
    assertion = Assertion.PRESENT if is_present else Assertion.NEGATED
    phrases = _problems(note_of(text), [mention.model_copy(update={"assertion": assertion})], 40)
    assert [phrase.text for phrase in phrases] == problems


def test_a_distant_attribute_is_not_listed_with_a_medication() -> None:
    text = "He got fludrocortisone 0.05 mg BID and within a day, despite the end of IV fluids, was well."
    attributes = [
        Attribute(kind=kind, start=text.index(words), end=text.index(words) + len(words), text=words)
        for kind, words in (("dosage", "0.05 mg"), ("frequency", "BID"), ("route", "IV"))
    ]
    mention = entity(text, "fludrocortisone", "medication").model_copy(
        update={"attributes": tuple(attributes)}
    )
    [phrase] = medication_list(note_of(text), [mention], 20)
    assert phrase.text == "fludrocortisone 0.05 mg BID"


def test_a_problem_is_listed_with_its_body_part() -> None:
    text = "He has acute left knee pain. There is weakness in the right arm, and dilated ducts."
    mentions = [
        *(entity(text, words, "problem") for words in ("pain", "weakness", "dilated")),
        *(entity(text, words, "anatomy") for words in ("knee", "arm", "ducts")),
    ]
    texts = [phrase.text for phrase in mention_list(note_of(text), mentions, "problem", 20)]
    assert texts == ["acute left knee pain", "weakness in the right arm"]


def test_a_problem_negated_later_in_the_note_is_not_listed() -> None:
    text = "Referred for glaucoma and gout. He does not have glaucoma."
    negated = entity(text, "glaucoma.", "problem").model_copy(
        update={"text": "glaucoma", "end": len(text) - 1, "assertion": Assertion.NEGATED}
    )
    mentions = [entity(text, "glaucoma", "problem"), entity(text, "gout", "problem"), negated]
    assert [phrase.text for phrase in mention_list(note_of(text), mentions, "problem", 20)] == ["gout"]


def test_following_an_irrigation_is_no_follow_up() -> None:
    assert not _FOLLOW_UP_PHRASE.search("Following an irrigation, the testicle was returned to the scrotum.")
    assert _FOLLOW_UP_PHRASE.search("He will return in two weeks for removal of the sutures.")


def test_a_list_that_ends_in_an_abbreviation_ends_in_one_period() -> None:
    phrase = SourcedPhrase("warfarin 2.5 mg q.d.", Span(start=0, end=20))
    assert [sentence.text for sentence in _one_sentence("Medications", [phrase])] == ["Warfarin 2.5 mg q.d."]
