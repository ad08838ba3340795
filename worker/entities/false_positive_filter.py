"""Marks that are no mentions, or of another label than they were marked with: what a mark stands for.

The network knows how a mention looks in its sentence. What a heading names, what is normal, what a wound was
closed with, and what a laboratory measures is known here, by the lists of mistaken.toml.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from worker.entities.attribute_patterns import is_attribute, name_within
from worker.note.parsed_note import Note
from worker.note.section_headings import kind_of_title

_HAS_LETTERS = re.compile(r"[^\W\d_]")
_OPEN_END = re.compile(r"\s+(?:of|in|with|and|to)(?:\s+(?:the|his|her|a|an))?$", re.IGNORECASE)

# Beside these, or so called, what is marked is no problem.
_PRAISED = re.compile(r"(?:\b(?:normal|good|adequate|appropriate|excellent)\s+)+$", re.IGNORECASE)
_NORMAL = re.compile(r"(?:normal|good|adequate|appropriate|excellent)\s+(?!pressure)", re.IGNORECASE)
_WITHOUT = re.compile(r"\bwithout\s+(?:any\s+|much\s+)?$", re.IGNORECASE)
_HINDRANCES = frozenset({"difficulty", "difficulties"})
_OF_ANOTHER = re.compile(
    r"(?:\s+(?:and|or)\s+\w+)?\s+(?:vaccin|immuni[sz]|shot\b)"
    r"|\s+(?:consult|clinic|department|management|service|specialist|team)",
    re.IGNORECASE,
)
"""A vaccine or a department that is named after it."""
_DEVICE = re.compile(
    r"\s(?:cautery|coag|component|cup|electro|femoral|forceps|hemi|lead|prosthe)", re.IGNORECASE
)
_DONE = re.compile(r"\w(?:ectomy|desis|rrhaphy|plasty|otomy|ostomy|oscopy|pexy)$")
_RENAMED = {"tests": "test", "regimens": "medication"}
"""Lists of what is marked a problem and is something else."""

# Beside these, or so called, what is marked is no medication.
_GERM = re.compile(r"(?:coccus|virus|bacter\w*|coli)$")
_OF_HABIT = re.compile(
    r"\b(?:abstain|avoidance|consum|couple|deni|drinks?\b|drank|illegal|illicit|occasional|quit|rare|recreational"
    r"|smok|tobacco)",
    re.IGNORECASE,
)
_MEASURED_AFTER = re.compile(
    r"\s*(?:\([^)]{1,20}\)\s*)?(?:(?:at that time\s+)?(?:is|was|were|of|at|has ranged between)\b|:)?\s*"
    r"(?:[<>]?\s*\d(?![\d.,-]*\s*(?:mg|mcg|g|grams?|units?|tablets?|meq)\b(?!/))"
    r"|(?:normal|stable|within)\b|levels?,|level\s+\d|stores\b)",
    re.IGNORECASE,
)
_MEASURED_BEFORE = re.compile(
    r"\b(?:ionized|decreased|elevated|bun and|u-?tox positive for)\s+$", re.IGNORECASE
)


def name_of(note: Note, start: int, end: int, label: str) -> tuple[int, int]:
    """The part of the mark [start, end) that is the name: "Tylenol" of "Tylenol p.r", "mass" of "mass of"."""
    if label == "medication":
        start, end = name_within(note.text, start, end)
    if open_end := _OPEN_END.search(note.text, start, end):
        end = open_end.start()
    return start, end


def meant_label(note: Note, start: int, end: int, label: str) -> str | None:
    """The label of what is marked; none where it is no mention."""
    text = " ".join(note.text[start:end].lower().split())
    if not text or note.is_index_term(start) or _is_heading(note, start, end, label):
        return None
    if label != "value" and _words("adjectives").issuperset(text.split()):
        return None
    if label == "problem":
        return _meant_problem(note, start, end, text)
    if label == "medication":
        return _meant_medication(note, start, end, text)
    is_untested = text in _words("untested") or not _HAS_LETTERS.search(text)
    return None if label == "test" and is_untested else label


def _is_heading(note: Note, start: int, end: int, label: str) -> bool:
    """DIAGNOSIS, IMPRESSION: the name of a section is not a mention. NECK stays anatomy and BP a test, but
    PSYCHIATRIC is no problem."""
    section = note.section_at(start)
    if end > section.body_start:
        return False
    kind = kind_of_title(section.title)
    return label == "problem" if kind == "inherited" else kind is not None


def _meant_problem(note: Note, start: int, end: int, text: str) -> str | None:
    """Tests and regimens are in lists; what is done to a patient ends like a procedure."""
    if text in _words("substances") | _words("untested") or _is_well(note, start, text):
        return None
    if _OF_ANOTHER.match(note.text, end) or (text == "bipolar" and _DEVICE.match(note.text, end)):
        return None
    for name, label in _RENAMED.items():
        if text in _words(name):
            return label
    return "procedure" if _DONE.search(text) else "problem"


def _is_well(note: Note, start: int, text: str) -> bool:
    """What is normal, what everybody has, or how it went; under ANESTHESIA stands what was given."""
    before, words = note.text[max(0, start - 40) : start], text.split()
    if _PRAISED.search(before) or _NORMAL.match(text):
        return True
    if words[-1] in _words("normal") or " ".join(words[-2:]) in _words("normal"):
        return True
    if _is_common(text) and not note.text.startswith("LID", start):
        return not _words("lacking").intersection(before.lower().split()[-3:])
    if text in _HINDRANCES and _WITHOUT.search(before):
        return True
    return "anesthesia" in note.section_at(start).title.lower()


def _is_common(text: str) -> bool:
    """Whether it is what everybody has, wherever: "full range of motion", "peripheral pulses"."""
    first, _, rest = text.partition(" ")
    return text in _words("common") or (first in _words("anywhere") and rest in _words("common"))


def _meant_medication(note: Note, start: int, end: int, text: str) -> str | None:
    """What a laboratory measures is a test; what a patient drinks or a wound is closed with is nothing."""
    if text in _words("materials") or _GERM.search(text) or not _HAS_LETTERS.search(text):
        return None
    if is_attribute(note.text, start, end):
        return None
    sentence = note.sentence_at(start)
    if text in _words("analytes") and (
        _MEASURED_AFTER.match(note.text, end) or _MEASURED_BEFORE.search(note.text[sentence.start : start])
    ):
        return "test"
    if text in _words("substances"):
        is_social = note.section_at(start).kind == "social_history"
        if is_social or _OF_HABIT.search(note.text, sentence.start, sentence.end):
            return None
    return "medication"


@cache
def _words(name: str) -> frozenset[str]:
    tables = tomllib.loads(Path(__file__).with_name("false_positives.toml").read_text("utf-8"))
    return frozenset(tables[name])
