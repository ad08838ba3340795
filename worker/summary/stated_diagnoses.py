"""Stated diagnoses and procedures: what the note's own headings list.

In the note's words; a longer item is cut at its first comma, and left out where that could change its
meaning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from models.answers import Entity, Span
from worker.note.parsed_note import Note
from worker.note.section_headings import NoteSection

TITLE_WORDS = 14
_DIAGNOSES = ("diagnoses", "impression", "assessment")
_EARLIER = re.compile(r"\bpre-?\s?(?:op|procedure)|\badmi", re.IGNORECASE)
_HAS_WORD = re.compile(r"[^\W\d]{3}")
_NOTHING = re.compile(r"(?:as above|none|nil|n/a|not applicable|same|see above|unknown)\b", re.IGNORECASE)
_FOUND_WELL = re.compile(
    r"(?:essentially |grossly |otherwise )?"
    r"(?:improved|negative|no|normal|status post|successful(?:ly)?|unremarkable)\b",
    re.IGNORECASE,
)
_NO_PROBLEM = re.compile(
    _FOUND_WELL.pattern
    + r"|(?:clinical correlation|discuss|follow|he|however|i|if|it|please|recommend|she|the patient"
    + r"|the report|there (?:is|are|was|were) no|this|we)\b"
    + r"|.*\b(?:(?:is|are) (?:advised|necessary|needed|recommended|required)|must be)\b",
    re.IGNORECASE,
)
"""How what is no problem begins, in a note's own list of what it found: "Normal appendix"."""
_CLAUSE_END = re.compile(r"[,;]\s|\s\(|\s-\s")
_LIST_NUMBER = re.compile(r"^\d{1,2}[.)](?:\s+|(?=[A-Z]))")
_OF_A_PROCEDURE = re.compile(
    r"^(?!.*\b(?:codes?|indications?|details?|description)\b).*\b(?:procedures?|operations?|surgery)\b",
    re.IGNORECASE,
)
"""Headings over the name of what was done; "ANESTHESIA" and "INDICATIONS FOR SURGERY" are of its kind too."""
_LONGEST_TELLING = 400
"""Characters of such a section: the details of a procedure say what was done, not what the note is about."""


@dataclass(frozen=True, slots=True)
class SourcedPhrase:
    """Some of the note's own words, and the sentence they stand in."""

    text: str
    source: Span


def stated_diagnoses(note: Note, denied: Collection[Entity]) -> list[SourcedPhrase]:
    """The note's own list of what is the matter: its diagnoses, else its impression, else its assessment.

    What was thought before is left out where what was found is stated, too. `denied`: negated
    mentions; before the comma they keep an item from being cut, since what denies them may stand behind it.
    """
    for kind in _DIAGNOSES:
        found = [one for one in note.sections if one.kind == kind]
        found = [one for one in found if not _EARLIER.search(one.title)] or found
        said = {piece.text.lower(): piece for section in found for piece in _said(note, section, denied)}
        if said:
            names = fullest_names([piece.text for piece in said.values()])
            return [piece for piece in said.values() if piece.text in names]
    return []


def stated_problems(note: Note, denied: Collection[Entity]) -> list[SourcedPhrase]:
    """Of what is stated all that is a problem: of "Normal appendix" and "Small hernia" the second."""
    return [piece for piece in stated_diagnoses(note, denied) if not _NO_PROBLEM.match(piece.text)]


def stated_normal_findings(note: Note, denied: Collection[Entity]) -> list[SourcedPhrase]:
    """Of what is stated what was found to be well, or done."""
    return [piece for piece in stated_diagnoses(note, denied) if _FOUND_WELL.match(piece.text)]


def fullest_names(names: Sequence[str]) -> frozenset[str]:
    """Those that are no part of another: "pain" is told by "foot pain"."""
    lower = {name: f" {name.lower()} " for name in names}
    return frozenset(
        name
        for name, own in lower.items()
        if not any(own in other and own != other for other in lower.values())
    )


def _said(note: Note, section: NoteSection, denied: Collection[Entity]) -> list[SourcedPhrase]:
    """Each sentence of a section, up to its first comma where it is longer than a title; longer ones not.

    Of a long section only what is numbered: the rest goes into detail.
    """
    pieces, is_whole = [], is_short(section)
    for sentence in note.sentences:
        start = max(sentence.start, section.body_start)
        if start < section.end and sentence.end > section.body_start and sentence.start < section.end:
            text = note.text[start : min(sentence.end, section.end)].lstrip(" :,")
            is_item = is_whole or _LIST_NUMBER.match(text)
            text = one_line(text).partition(".,")[0]
            if len(text.split()) > TITLE_WORDS:
                kept = _CLAUSE_END.split(text, maxsplit=1)[0]
                inside = [one for one in denied if sentence.start <= one.start < sentence.end]
                text = text if any(one_line(one.text) in kept for one in inside) else kept
            text = text.strip(" ,.")
            is_said = _HAS_WORD.search(text) and not _NOTHING.match(text)
            if is_item and is_said and len(text.split()) <= TITLE_WORDS:
                pieces.append(SourcedPhrase(text, sentence))
    return pieces


def stated_procedure(note: Note) -> list[SourcedPhrase]:
    """What the first short section that names a procedure says first."""
    for section in note.sections:
        is_naming = section.kind == "procedure" and _OF_A_PROCEDURE.search(section.title)
        if is_naming and is_short(section) and (said := _said(note, section, ())):
            return said[:1]
    return []


def is_short(section: NoteSection) -> bool:
    return section.end - section.body_start <= _LONGEST_TELLING


def one_line(text: str) -> str:
    """The words of a piece on one line, without a list's number before them or its comma behind."""
    return _LIST_NUMBER.sub("", " ".join(text.split())).rstrip(" ,")
