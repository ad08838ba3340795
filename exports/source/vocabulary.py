"""A vocabulary file: from a label and a text to a concept. CSV with a header; only `text` is required.

Columns: label (empty: any), text, concept_id, source_concept_id (OMOP), system, code, display (FHIR).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models.errors import UsageError

_COLUMNS = {"label", "text", "concept_id", "source_concept_id", "system", "code", "display"}


@dataclass(frozen=True, slots=True)
class Concept:
    """The concept of a mention; 0 is OMOP's "no matching concept"."""

    concept_id: int = 0
    source_concept_id: int = 0
    system: str = ""
    code: str = ""
    display: str = ""


NO_CONCEPT = Concept()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Concepts by label and folded text."""

    concepts: Mapping[tuple[str, str], Concept] = field(default_factory=dict)

    def concept(self, label: str, text: str) -> Concept:
        """The concept for this label, otherwise for any label; NO_CONCEPT where the file has no line."""
        key = _folded(text)
        return self.concepts.get((label, key)) or self.concepts.get(("", key)) or NO_CONCEPT


def read_vocabulary(path: Path | None) -> Vocabulary:
    """Reads a vocabulary file. Raises UsageError that names the line."""
    if path is None:
        return Vocabulary()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return Vocabulary(dict(_entries(csv.DictReader(file), path)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read the vocabulary {path}: {error}") from None


def _entries(reader: csv.DictReader[str], path: Path) -> list[tuple[tuple[str, str], Concept]]:
    names = set(reader.fieldnames or ())
    if "text" not in names or names - _COLUMNS:
        raise UsageError(f"the vocabulary {path} wants a header of {', '.join(sorted(_COLUMNS))}.")
    entries = []
    for number, row in enumerate(reader, start=2):
        given = {name: (row[name] or "").strip() for name in names}
        numbers = [given.get(name) or "0" for name in ("concept_id", "source_concept_id")]
        if not given["text"] or not all(number.isdecimal() for number in numbers):
            raise UsageError(f"the vocabulary {path}, line {number}: a text and whole numbers are wanted.")
        words = [given.get(name, "") for name in ("system", "code", "display")]
        concept = Concept(int(numbers[0]), int(numbers[1]), *words)
        entries.append(((given.get("label", ""), _folded(given["text"])), concept))
    return entries


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
