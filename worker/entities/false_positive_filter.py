"""False-positive filter and relabelling rules for tagged mentions.

The network knows how a mention looks in its sentence. Section headings, normal findings, sutures and
laboratory analytes are known here, by the lists of false_positives.toml.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from worker.entities.attribute_patterns import is_attribute, medication_name_within
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
"""A vaccine or a department that is named after a disease."""
_DEVICE = re.compile(
    r"\s(?:cautery|coag|component|cup|electro|femoral|forceps|hemi|lead|prosthe)", re.IGNORECASE
)
_DONE = re.compile(r"\w(?:ectomy|desis|rrhaphy|plasty|otomy|ostomy|oscopy|pexy)$")
_RENAMED = {"tests": "test", "regimens": "medication"}
"""Lists of mentions that are tagged as problems and belong to another label."""

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


def name_span(note: Note, start: int, end: int, label: str) -> tuple[int, int]:
    """The name within the tag [start, end): "Tylenol" in "Tylenol p.r", "mass" in "mass of"."""
    if label == "medication":
        start, end = medication_name_within(note.text, start, end)
    if open_end := _OPEN_END.search(note.text, start, end):
        end = open_end.start()
    return start, end


def corrected_label(note: Note, start: int, end: int, label: str) -> str | None:
    """The label of a tagged mention after relabelling; None where it is a false positive."""
    text = " ".join(note.text[start:end].lower().split())
    if not text or note.is_boilerplate(start) or _is_heading(note, start, end, label):
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
    """True for the name of a section, such as DIAGNOSIS or IMPRESSION. NECK stays anatomy and BP a test, but
    PSYCHIATRIC is no problem."""
    section = note.section_at(start)
    if end > section.body_start:
        return False
    kind = kind_of_title(section.title)
    return label == "problem" if kind == "inherited" else kind is not None


def _meant_problem(note: Note, start: int, end: int, text: str) -> str | None:
    """The label of a tagged problem: tests and regimens are in lists; procedures have their endings."""
    if text in _words("substances") | _words("untested") or _is_well(note, start, text):
        return None
    if _OF_ANOTHER.match(note.text, end) or (text == "bipolar" and _DEVICE.match(note.text, end)):
        return None
    for name, label in _RENAMED.items():
        if text in _words(name):
            return label
    return "procedure" if _DONE.search(text) else "problem"


def _is_well(note: Note, start: int, text: str) -> bool:
    """True for normal findings, for what everybody has, and for how a procedure went; ANESTHESIA sections
    list what was given."""
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
    """True for what everybody has: "full range of motion", "peripheral pulses"."""
    first, _, rest = text.partition(" ")
    return text in _words("common") or (first in _words("anywhere") and rest in _words("common"))


def _meant_medication(note: Note, start: int, end: int, text: str) -> str | None:
    """The label of a tagged medication: laboratory analytes are tests; drinks and sutures are false
    positives."""
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
