"""Archive boilerplate after a note: its format identifies it, and it is a section of its own."""

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
    ("last_sentence", "boilerplate"),
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
def test_boilerplate_begins_after_the_last_sentence(last_sentence: str, boilerplate: str) -> None:
    text = f"FINDINGS:  A hernia.\n\n{last_sentence}{boilerplate}"
    assert text[boilerplate_start(text) :].lstrip(",") == boilerplate


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
def test_the_text_of_a_note_is_no_boilerplate(text: str) -> None:
    assert boilerplate_start(text) == len(text)


def test_boilerplate_is_a_section_and_a_sentence_of_its_own() -> None:
    text = f"PLAN:  He left in good condition.{TERMS}"
    start = len(text) - len(TERMS)
    assert [(section.kind, section.start) for section in sections(text)] == [
        ("plan", 0),
        (BOILERPLATE, start),
    ]
    assert sentences(text)[-1] == Span(start=start, end=len(text))
    note = Note.of(text, len, 400, 400)
    assert [note.is_boilerplate(offset) for offset in (0, start - 1, start)] == [False, False, True]


@given(st.lists(st.sampled_from(["A b.", "c, d,", " e", "\n", ".,", "nan", "NOTE", ":", "中"]), max_size=30))
def test_sections_still_cover_any_text(parts: list[str]) -> None:
    text = "".join(parts)
    note_sections = sections(text)
    assert [section.start for section in note_sections] == [
        0,
        *(section.end for section in note_sections[:-1]),
    ]
    assert note_sections[-1].end == len(text)
    assert all(section.start <= section.body_start <= len(text) for section in note_sections)
    assert 0 <= boilerplate_start(text) <= len(text)
