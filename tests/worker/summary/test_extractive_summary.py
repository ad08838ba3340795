"""Chosen summaries: what a note says that it is about, and not what it says on the way."""

from __future__ import annotations

import pytest

from models.answers import Assertion, Attribute, Entity, Span
from worker.note.parsed_note import Note
from worker.summary.extractive import _one_sentence, _problems, _title
from worker.summary.mention_lists import medication_list, mention_list
from worker.summary.sentence_selection import _FOLLOW_UP_PHRASE, select_sentences
from worker.summary.sourced_phrases import SourcedPhrase


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
    assert title.text == "No fatigue was noted."


def test_a_finding_is_told_with_the_value_on_either_side_of_it() -> None:
    text = "She had a normal MRI of the head. Hematocrit was 31."
    values = {"MRI": "normal", "Hematocrit": "31"}
    mentions = [
        entity(text, test, "test").model_copy(update={"attributes": (attribute(text, "value", value),)})
        for test, value in values.items()
    ]
    told = [one.text for one in mention_list(note_of(text), mentions, "test", 20)]
    assert told == ["normal MRI", "Hematocrit was 31"]


def test_a_test_far_from_its_result_is_no_finding() -> None:
    text = "An examination that was done shortly before the procedure was unremarkable."
    mention = entity(text, "examination", "test").model_copy(
        update={"attributes": (attribute(text, "value", "unremarkable"),)}
    )
    assert mention_list(note_of(text), [mention], "test", 20) == []


def test_the_title_has_the_fuller_of_two_names() -> None:
    text = "HISTORY:  Foot pain. Now the pain is in his toes, much pain, and more pain at night."
    pain = entity(text, "pain", "problem")
    others = [
        pain.model_copy(update={"start": start, "end": start + 4})
        for start in (text.index("pain is"), text.index("pain, and"), text.index("pain at"))
    ]
    told = _title(note_of(text), [entity(text, "Foot pain", "problem"), *others])
    assert [one.text for one in told] == ["Foot pain"]


def attribute(text: str, kind: str, words: str) -> Attribute:
    start = text.index(words)
    return Attribute(kind=kind, start=start, end=start + len(words), text=words)


DISCHARGED = (
    "DISCHARGE SUMMARY\n\nPATIENT:  Jane Roe.\n\n"
    "DISCHARGE DIAGNOSES:\n1. Acute heart failure.\n2. Hypokalemia, resolved.\n\n"
    "HOSPITAL COURSE:  She was given furosemide. A cough was noted on the third day of it.\n\n"
    "DISCHARGE MEDICATIONS:\n1. Apixaban 5 mg twice daily.\n2. Insulin glargine (Lantus 8 units) daily.\n\n"
    "STOPPED:  losartan 50 mg daily.\n\n"
    "Dictated by the attending physician on the ward."
)


def medication(words: str, dose: str) -> Entity:
    told = entity(DISCHARGED, words, "medication")
    return told.model_copy(update={"attributes": (attribute(DISCHARGED, "dosage", dose),)})


def test_problems_are_those_that_the_note_lists_and_then_others() -> None:
    mentions = [
        entity(DISCHARGED, "cough", "problem"),
        entity(DISCHARGED, "Hypokalemia", "problem"),
        entity(DISCHARGED, "heart failure", "problem"),
    ]
    assert [one.text for one in _problems(note_of(DISCHARGED), mentions, 40)] == [
        "Acute heart failure",
        "Hypokalemia, resolved",
        "cough",
    ]


def test_medications_are_those_of_the_list_with_their_doses_and_none_that_was_stopped() -> None:
    mentions = [
        entity(DISCHARGED, "furosemide", "medication"),
        medication("Apixaban", "5 mg"),
        medication("Insulin glargine", "8 units"),
        medication("losartan", "50 mg"),
    ]
    assert [one.text for one in medication_list(note_of(DISCHARGED), mentions, 40)] == [
        "Apixaban 5 mg",
        "Insulin glargine",
    ]


def test_who_where_and_when_is_no_sentence_of_a_summary() -> None:
    note = note_of(DISCHARGED)
    scored = [(Span(start=one.start, end=one.end), 0.5) for one in note.sentences]
    told = [one.text for one in select_sentences(note, scored, 400, excluded=())]
    assert "She was given furosemide." in told
    assert not any("Jane Roe" in one or "DISCHARGE SUMMARY" in one for one in told)


@pytest.mark.parametrize(("holds", "problems"), [(True, ["Pulmonary embolism"]), (False, [])])
def test_what_is_denied_behind_a_comma_is_not_cut_before_it(holds: bool, problems: list[str]) -> None:
    text = (
        "IMPRESSION:  Pulmonary embolism, which we thought of for two whole days and then for good reasons "
        "ruled out by angiography of the chest."
    )
    mention = entity(text, "Pulmonary embolism", "problem")
    assertion = Assertion.PRESENT if holds else Assertion.NEGATED
    told = _problems(note_of(text), [mention.model_copy(update={"assertion": assertion})], 40)
    assert [one.text for one in told] == problems


def test_what_is_said_far_behind_a_medication_is_not_told_with_it() -> None:
    text = "He got fludrocortisone 0.05 mg BID and within a day, despite the end of IV fluids, was well."
    said = [
        Attribute(kind=kind, start=text.index(words), end=text.index(words) + len(words), text=words)
        for kind, words in (("dosage", "0.05 mg"), ("frequency", "BID"), ("route", "IV"))
    ]
    mention = entity(text, "fludrocortisone", "medication").model_copy(update={"attributes": tuple(said)})
    [told] = medication_list(note_of(text), [mention], 20)
    assert told.text == "fludrocortisone 0.05 mg BID"


def test_a_problem_is_told_with_its_place() -> None:
    text = "He has acute left knee pain. There is weakness in the right arm, and dilated ducts."
    mentions = [
        *(entity(text, words, "problem") for words in ("pain", "weakness", "dilated")),
        *(entity(text, words, "anatomy") for words in ("knee", "arm", "ducts")),
    ]
    told = [one.text for one in mention_list(note_of(text), mentions, "problem", 20)]
    assert told == ["acute left knee pain", "weakness in the right arm"]


def test_what_is_denied_in_the_end_is_not_told() -> None:
    text = "Referred for glaucoma and gout. He does not have glaucoma."
    denied = entity(text, "glaucoma.", "problem").model_copy(
        update={"text": "glaucoma", "end": len(text) - 1, "assertion": Assertion.NEGATED}
    )
    mentions = [entity(text, "glaucoma", "problem"), entity(text, "gout", "problem"), denied]
    assert [one.text for one in mention_list(note_of(text), mentions, "problem", 20)] == ["gout"]


def test_following_an_irrigation_is_no_follow_up() -> None:
    assert not _FOLLOW_UP_PHRASE.search("Following an irrigation, the testicle was returned to the scrotum.")
    assert _FOLLOW_UP_PHRASE.search("He will return in two weeks for removal of the sutures.")


def test_a_list_that_ends_in_an_abbreviation_ends_in_one_period() -> None:
    piece = SourcedPhrase("warfarin 2.5 mg q.d.", Span(start=0, end=20))
    assert [one.text for one in _one_sentence("Medications", [piece])] == ["Warfarin 2.5 mg q.d."]
