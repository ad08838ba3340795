"""False-positive filter and relabelling rules for tagged mentions.

Drops section headings, normal findings and materials such as sutures, and relabels laboratory analytes. The
word lists are in false_positives.toml.
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

# A tagged problem beside these words, or that begins with them, is a false positive.
_NORMAL_WORDS_BEFORE = re.compile(r"(?:\b(?:normal|good|adequate|appropriate|excellent)\s+)+$", re.IGNORECASE)
_NORMAL_START = re.compile(r"(?:normal|good|adequate|appropriate|excellent)\s+(?!pressure)", re.IGNORECASE)
_WITHOUT = re.compile(r"\bwithout\s+(?:any\s+|much\s+)?$", re.IGNORECASE)
_DIFFICULTIES = frozenset({"difficulty", "difficulties"})
_NAMED_AFTER_DISEASE = re.compile(
    r"(?:\s+(?:and|or)\s+\w+)?\s+(?:vaccin|immuni[sz]|shot\b)"
    r"|\s+(?:consult|clinic|department|management|service|specialist|team)",
    re.IGNORECASE,
)
"""Words after the name of a disease that make it the name of a vaccine or a department."""
_DEVICE_AFTER = re.compile(
    r"\s(?:cautery|coag|component|cup|electro|femoral|forceps|hemi|lead|prosthe)", re.IGNORECASE
)
_PROCEDURE_ENDING = re.compile(r"\w(?:ectomy|desis|rrhaphy|plasty|otomy|ostomy|oscopy|pexy)$")
_RELABELLED_LISTS = {"tests": "test", "regimens": "medication"}
"""Lists of mentions that are tagged as problems, with the label to which they belong."""

# A tagged medication that ends so, or beside these words, is not a medication.
_MICROBE = re.compile(r"(?:coccus|virus|bacter\w*|coli)$")
_HABIT = re.compile(
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
    """The span of the name in a tagged span [start, end): "Tylenol" in "Tylenol p.r", "mass" in "mass of"."""
    if label == "medication":
        start, end = medication_name_within(note.text, start, end)
    if open_end := _OPEN_END.search(note.text, start, end):
        end = open_end.start()
    return start, end


def corrected_label(note: Note, start: int, end: int, label: str) -> str | None:
    """The label of a tagged mention after relabelling; None if it is a false positive."""
    text = " ".join(note.text[start:end].lower().split())
    if not text or note.is_boilerplate(start) or _is_heading(note, start, end, label):
        return None
    if label != "value" and _words("adjectives").issuperset(text.split()):
        return None
    if label == "problem":
        return _problem_label(note, start, end, text)
    if label == "medication":
        return _medication_label(note, start, end, text)
    is_untested = text in _words("untested") or not _HAS_LETTERS.search(text)
    return None if label == "test" and is_untested else label


def _is_heading(note: Note, start: int, end: int, label: str) -> bool:
    """True for the heading of a section, such as DIAGNOSIS or IMPRESSION.

    The headings inside a section are false positives only as problems: NECK stays anatomy and BP a test, but
    PSYCHIATRIC is not a problem.
    """
    section = note.section_at(start)
    if end > section.body_start:
        return False
    kind = kind_of_title(section.title)
    return label == "problem" if kind == "inherited" else kind is not None


def _problem_label(note: Note, start: int, end: int, text: str) -> str | None:
    """The label of a tagged problem: tests and regimens are listed, procedures are known by their endings."""
    if text in _words("substances") | _words("untested") or _is_normal_finding(note, start, text):
        return None
    if _NAMED_AFTER_DISEASE.match(note.text, end) or (
        text == "bipolar" and _DEVICE_AFTER.match(note.text, end)
    ):
        return None
    for name, label in _RELABELLED_LISTS.items():
        if text in _words(name):
            return label
    return "procedure" if _PROCEDURE_ENDING.search(text) else "problem"


def _is_normal_finding(note: Note, start: int, text: str) -> bool:
    """True for normal findings, for what every patient has, and for the contents of ANESTHESIA sections."""
    before, words = note.text[max(0, start - 40) : start], text.split()
    if _NORMAL_WORDS_BEFORE.search(before) or _NORMAL_START.match(text):
        return True
    if words[-1] in _words("normal") or " ".join(words[-2:]) in _words("normal"):
        return True
    if _is_common(text) and not note.text.startswith("LID", start):
        return not _words("lacking").intersection(before.lower().split()[-3:])
    if text in _DIFFICULTIES and _WITHOUT.search(before):
        return True
    return "anesthesia" in note.section_at(start).title.lower()


def _is_common(text: str) -> bool:
    """True for what every patient has: "full range of motion", "peripheral pulses"."""
    first, _, rest = text.partition(" ")
    return text in _words("common") or (first in _words("anywhere") and rest in _words("common"))


def _medication_label(note: Note, start: int, end: int, text: str) -> str | None:
    """The label of a tagged medication: a measured analyte is a test; drinks and sutures are dropped."""
    if text in _words("materials") or _MICROBE.search(text) or not _HAS_LETTERS.search(text):
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
        if is_social or _HABIT.search(note.text, sentence.start, sentence.end):
            return None
    return "medication"


@cache
def _words(name: str) -> frozenset[str]:
    tables = tomllib.loads(Path(__file__).with_name("false_positives.toml").read_text("utf-8"))
    return frozenset(tables[name])
