"""Items of diagnoses and procedures: those that a note lists under headings such as DIAGNOSES.

Items are in the words of the note. A long item is cut at its first comma, and left out if the cut could
change its meaning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from models.answers import Entity
from worker.note.parsed_note import Note
from worker.note.section_headings import NoteSection
from worker.summary.sourced_phrases import LIST_NUMBER, SourcedPhrase, one_line

MAX_TITLE_WORDS = 14
_DIAGNOSIS_SECTIONS = ("diagnoses", "impression", "assessment")
_ADMISSION_DIAGNOSIS = re.compile(r"\bpre-?\s?(?:op|procedure)|\badmi", re.IGNORECASE)
_HAS_WORD = re.compile(r"[^\W\d]{3}")
_PLACEHOLDER = re.compile(r"(?:as above|none|nil|n/a|not applicable|same|see above|unknown)\b", re.IGNORECASE)
_NORMAL_FINDING = re.compile(
    r"(?:essentially |grossly |otherwise )?"
    r"(?:improved|negative|no|normal|status post|successful(?:ly)?|unremarkable)\b",
    re.IGNORECASE,
)
_NOT_A_PROBLEM = re.compile(
    _NORMAL_FINDING.pattern
    + r"|(?:clinical correlation|discuss|follow|he|however|i|if|it|please|recommend|she|the patient"
    + r"|the report|there (?:is|are|was|were) no|this|we)\b"
    + r"|.*\b(?:(?:is|are) (?:advised|necessary|needed|recommended|required)|must be)\b",
    re.IGNORECASE,
)
"""Starts of items in a list of diagnoses that are not problems: "Normal appendix"."""
_CLAUSE_END = re.compile(r"[,;]\s|\s\(|\s-\s")
_PROCEDURE_HEADING = re.compile(
    r"^(?!.*\b(?:codes?|indications?|details?|description)\b).*\b(?:procedures?|operations?|surgery)\b",
    re.IGNORECASE,
)
"""Headings over the name of a procedure; the section kind also includes headings such as "ANESTHESIA"."""
_MAX_TOPIC_CHARACTERS = 400
"""Maximum characters of a section that states the topic of the note; a longer one gives details."""


def diagnosis_items(note: Note, negated: Collection[Entity]) -> list[SourcedPhrase]:
    """The items under the diagnoses of the note, else under its impression, else under its assessment.

    Preoperative and admission diagnoses are left out if others are stated. `negated`: the negated mentions;
    an item is not cut after one of them, because the words that negate it may follow the comma.
    """
    for kind in _DIAGNOSIS_SECTIONS:
        sections = [section for section in note.sections if section.kind == kind]
        sections = [
            section for section in sections if not _ADMISSION_DIAGNOSIS.search(section.title)
        ] or sections
        items = {
            phrase.text.lower(): phrase
            for section in sections
            for phrase in _section_items(note, section, negated)
        }
        if items:
            names = fullest_names([phrase.text for phrase in items.values()])
            return [phrase for phrase in items.values() if phrase.text in names]
    return []


def problem_items(note: Note, negated: Collection[Entity]) -> list[SourcedPhrase]:
    """The stated diagnoses that are problems: "Small hernia", but not "Normal appendix"."""
    return [phrase for phrase in diagnosis_items(note, negated) if not _NOT_A_PROBLEM.match(phrase.text)]


def normal_finding_items(note: Note, negated: Collection[Entity]) -> list[SourcedPhrase]:
    """The stated diagnoses that are normal findings or results: "Normal appendix", "status post repair"."""
    return [phrase for phrase in diagnosis_items(note, negated) if _NORMAL_FINDING.match(phrase.text)]


def fullest_names(names: Sequence[str]) -> frozenset[str]:
    """The names that are not contained in another one, as "pain" is in "foot pain"."""
    padded = {name: f" {name.lower()} " for name in names}
    return frozenset(
        name
        for name, padded_name in padded.items()
        if not any(padded_name in other and padded_name != other for other in padded.values())
    )


def _section_items(note: Note, section: NoteSection, negated: Collection[Entity]) -> list[SourcedPhrase]:
    """The sentences of a section as items; an item longer than a title is cut at its first clause or dropped.

    A long section gives only its numbered items, because the rest is detail.
    """
    phrases, is_short_section = [], is_short(section)
    for sentence in note.sentences:
        start = max(sentence.start, section.body_start)
        if start < section.end and sentence.end > section.body_start and sentence.start < section.end:
            text = note.text[start : min(sentence.end, section.end)].lstrip(" :,")
            is_item = is_short_section or LIST_NUMBER.match(text)
            text = one_line(text).partition(".,")[0]
            if len(text.split()) > MAX_TITLE_WORDS:
                kept = _CLAUSE_END.split(text, maxsplit=1)[0]
                inside = [mention for mention in negated if sentence.start <= mention.start < sentence.end]
                text = text if any(one_line(mention.text) in kept for mention in inside) else kept
            text = text.strip(" ,.")
            has_content = _HAS_WORD.search(text) and not _PLACEHOLDER.match(text)
            if is_item and has_content and len(text.split()) <= MAX_TITLE_WORDS:
                phrases.append(SourcedPhrase(text, sentence))
    return phrases


def procedure_items(note: Note) -> list[SourcedPhrase]:
    """The first item of the first short section whose heading names a procedure; empty without one."""
    for section in note.sections:
        names_procedure = section.kind == "procedure" and _PROCEDURE_HEADING.search(section.title)
        if names_procedure and is_short(section) and (items := _section_items(note, section, ())):
            return items[:1]
    return []


def is_short(section: NoteSection) -> bool:
    """True if a section is short enough to state the topic of the note."""
    return section.end - section.body_start <= _MAX_TOPIC_CHARACTERS
