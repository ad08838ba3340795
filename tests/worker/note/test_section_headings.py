"""Section headings: where they are found, which kind they have, and that sections cover the note."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.note.section_headings import kind_of_title, section_kinds_in_query, sections


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("FAMILY HISTORY", "family_history"),
        ("Past Medical History", "past_history"),
        ("PAST CARDIAC HISTORY", "past_history"),
        ("HISTORY OF PRESENT ILLNESS", "history"),
        ("Discharge Medications", "medications"),
        ("PREOPERATIVE DIAGNOSIS (ES)", "diagnoses"),
        ("ASSESSMENT AND PLAN", "assessment"),
        ("INDICATIONS FOR SURGERY", "history"),
        ("NECK", "inherited"),
        ("BLUE SKY", None),
    ],
)
def test_a_title_has_its_section_kind(title: str, kind: str | None) -> None:
    assert kind_of_title(title) == kind


def test_headings_are_found_with_and_without_a_colon() -> None:
    text = "CHIEF COMPLAINT\n\nPain.\n\nFamily History: Mother: cancer.\nALLERGIES:  None."
    assert [(s.title, s.kind) for s in sections(text)] == [
        ("CHIEF COMPLAINT", "history"),
        ("Family History", "family_history"),
        ("Mother", "family_history"),
        ("ALLERGIES", "allergies"),
    ]


def test_a_heading_inside_a_section_keeps_its_kind() -> None:
    text = "FAMILY HISTORY:\nMother: diabetes.\nPHYSICAL EXAM:\nNECK: supple."
    assert [s.kind for s in sections(text)] == [
        "family_history",
        "family_history",
        "examination",
        "examination",
    ]


@pytest.mark.parametrize("text", ["She said: yes.", "Plan was made.", "We saw Mr. A at 10:30.", "the plan"])
def test_prose_is_no_heading(text: str) -> None:
    assert [s.kind for s in sections(text)] == ["other"]


@given(
    st.lists(
        st.sampled_from(["PLAN:", "NECK", "\n", " x ", "Social History:\r\n", ".,HX:", "中"]), max_size=20
    ).map("".join)
)
def test_sections_follow_each_other_from_the_first_character_to_the_last(text: str) -> None:
    note_sections = sections(text)
    assert (note_sections[0].start, note_sections[-1].end) == (0, len(text))
    assert all(before.end == after.start for before, after in pairwise(note_sections))
    assert all(
        text[s.start :].startswith(s.title) and s.start <= s.body_start <= s.end for s in note_sections
    )


def test_a_query_names_the_section_that_it_asks_for():
    assert section_kinds_in_query("What medications was the patient sent home on?") == {"medications"}
    assert section_kinds_in_query("What is the patient's past medical history?") == {"past_history"}
    assert section_kinds_in_query("Is there a family history?") == {"family_history"}
    assert section_kinds_in_query("chest pain") == frozenset()


def test_a_line_after_an_empty_line_can_be_a_heading_whatever_precedes_it() -> None:
    text = "EXAM\nCHEST: It is clear.\n\nIMPRESSION\n1.  Anemia.\n\nPLAN\nRest."
    assert [section.kind for section in sections(text)] == [
        "examination",
        "examination",
        "impression",
        "plan",
    ]
