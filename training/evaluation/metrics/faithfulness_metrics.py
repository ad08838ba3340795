"""Faithfulness metrics: what a summary says that its note does not (numbers, medications, problems), and what
it covers.

A number is in the note with its unit or where either has none; a name by any of its known names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.answers import Assertion, Entity
from training.evaluation.metrics.counts import Counts
from worker.entities.drug_names import drug_names_in, drug_names_of
from worker.note.number_normalization import has_number, numbers_in, units_by_number
from worker.note.stemming import content_stems

_TELLING = frozenset({Assertion.PRESENT, Assertion.POSSIBLE})


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Counts of one summary. `found`: those in the summary; `found_right`: those that the note has, too."""

    numbers: Counts
    medications: Counts
    problems: Counts
    covered: Counts
    """`gold`: the note's findings that hold; `gold_right`: those that the summary names."""
    unfaithful: tuple[str, ...]
    """The summary's words that the note does not have."""


def judge(note: str, summary: str, entities: Sequence[Entity], found: Sequence[Entity]) -> Faithfulness:
    """Counts of one summary. `entities`: of the note; `found`: entities of the summary read as a note."""
    units, words, small = units_by_number(note), _words(note), " ".join(note.lower().split())
    numbers = [(one.value, has_number(one, units)) for one in numbers_in(summary)]
    drugs = [(name, bool(drug_names_of(name) & words)) for name in drug_names_in(summary)]
    stems = frozenset(content_stems(note))
    problems = [(one.text, _is_named(one.text, small, stems)) for one in found if one.label == "problem"]
    told, said = " ".join(summary.lower().split()), frozenset(content_stems(summary))
    findings = {
        " ".join(one.text.lower().split())
        for one in entities
        if one.label == "problem" and one.assertion in _TELLING
    }
    covered = sum(_is_named(one, told, said) for one in findings)
    return Faithfulness(
        numbers=_counted(numbers),
        medications=_counted(drugs),
        problems=_counted(problems),
        covered=Counts(covered, len(findings), covered, len(findings)),
        unfaithful=tuple(name for name, is_there in (*numbers, *drugs, *problems) if not is_there),
    )


def _is_named(name: str, text: str, stems: frozenset[str]) -> bool:
    """True where it occurs as it stands, or by all of its content words in any order and ending."""
    own = content_stems(name)
    return " ".join(name.lower().split()) in text or (bool(own) and stems.issuperset(own))


def _counted(pairs: Iterable[tuple[str, bool]]) -> Counts:
    there = [is_there for _, is_there in pairs]
    return Counts(sum(there), len(there), sum(there), len(there))


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z][a-z-]*[a-z]", text.lower()))
