"""What an archive puts behind a note: found by form, and taken for nothing that the note says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.answers import Span
from worker.note.archive_boilerplate import boilerplate_start
from worker.note.parsed_note import Note
from worker.note.section_headings import BOILERPLATE, sections
from worker.note.sentence_splitter import sentences

TERMS = "surgery, hernia, inguinal hernias, testicle, sac,"


@pytest.mark.parametrize(
    ("told", "behind"),
    [
        ("He left in good condition.", TERMS),
        ("This is an unlikely cause.,", "cardiovascular / pulmonary, syncope, beta-blocker, heart"),
        ("He was discharged.", "consult - history and phy., acute episode of agitation, agitation, ativan"),
        ("The procedure was tolerated well.", "surgery,"),
        ("This will be done as an outpatient.", "nan"),
        ("The lens was clear.", "eye, lens, cataract, chamber, iris,NOTE"),
        (
            "No information was given.",
            "NOTE,: Thesetranscribed medical transcription sample reports may include unusual formats.",
        ),
    ],
)
def test_index_terms_begin_behind_the_last_sentence(told: str, behind: str) -> None:
    text = f"FINDINGS:  A hernia.\n\n{told}{behind}"
    assert text[boilerplate_start(text) :].lstrip(",") == behind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        "She has fever, cough, chills, nausea, and pain.",
        "pt seen today.has fever, cough, chills, nausea, pain.",
        "MEDICATIONS: aspirin, lisinopril, metformin, insulin, warfarin",
        "NOTE: She may return to work.",
        "He denies fever.\ncough, chills, nausea, pain, rash",
    ],
)
def test_what_a_note_says_is_no_index(text: str) -> None:
    assert boilerplate_start(text) == len(text)


def test_they_are_a_section_and_a_sentence_of_their_own() -> None:
    text = f"PLAN:  He left in good condition.{TERMS}"
    start = len(text) - len(TERMS)
    assert [(one.kind, one.start) for one in sections(text)] == [("plan", 0), (BOILERPLATE, start)]
    assert sentences(text)[-1] == Span(start=start, end=len(text))
    note = Note.of(text, len, 400, 400)
    assert [note.is_boilerplate(place) for place in (0, start - 1, start)] == [False, False, True]


@given(st.lists(st.sampled_from(["A b.", "c, d,", " e", "\n", ".,", "nan", "NOTE", ":", "中"]), max_size=30))
def test_sections_still_cover_any_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    found = sections(text)
    assert [one.start for one in found] == [0, *(one.end for one in found[:-1])]
    assert found[-1].end == len(text)
    assert all(one.start <= one.body_start <= len(text) for one in found)
    assert 0 <= boilerplate_start(text) <= len(text)
