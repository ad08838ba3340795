"""Faithfulness metrics: which numbers, medications and problems of a summary its note has, and the share of
the note's findings that it covers.

A number is in the note if the units agree or one has none; a drug, if any of its names is in the note.
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

_AFFIRMED = frozenset({Assertion.PRESENT, Assertion.POSSIBLE})


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """Counts of one summary. `predicted`: items of the summary; `predicted_right`: those in the note too."""

    numbers: Counts
    medications: Counts
    problems: Counts
    covered: Counts
    """`gold`: the note's problems that are present or possible; `gold_right`: those the summary names."""
    unfaithful: tuple[str, ...]
    """The summary's words that the note does not have."""


def faithfulness_of(
    note: str, summary: str, entities: Sequence[Entity], summary_entities: Sequence[Entity]
) -> Faithfulness:
    """Counts of one summary. `entities`: those of the note; `summary_entities`: the summary is read as a note
    for them."""
    units, note_words, note_text = units_by_number(note), _words(note), " ".join(note.lower().split())
    numbers = [(number.value, has_number(number, units)) for number in numbers_in(summary)]
    drugs = [(name, bool(drug_names_of(name) & note_words)) for name in drug_names_in(summary)]
    note_stems = frozenset(content_stems(note))
    problems = [
        (entity.text, _is_named(entity.text, note_text, note_stems))
        for entity in summary_entities
        if entity.label == "problem"
    ]
    summary_text, summary_stems = " ".join(summary.lower().split()), frozenset(content_stems(summary))
    findings = {
        " ".join(entity.text.lower().split())
        for entity in entities
        if entity.label == "problem" and entity.assertion in _AFFIRMED
    }
    covered = sum(_is_named(finding, summary_text, summary_stems) for finding in findings)
    return Faithfulness(
        numbers=_counts(numbers),
        medications=_counts(drugs),
        problems=_counts(problems),
        covered=Counts(covered, len(findings), covered, len(findings)),
        unfaithful=tuple(name for name, is_in_note in (*numbers, *drugs, *problems) if not is_in_note),
    )


def _is_named(name: str, text: str, stems: frozenset[str]) -> bool:
    """True if the text has the name, or all of its content words in any order and inflection."""
    own = content_stems(name)
    return " ".join(name.lower().split()) in text or (bool(own) and stems.issuperset(own))


def _counts(pairs: Iterable[tuple[str, bool]]) -> Counts:
    are_in_note = [is_in_note for _, is_in_note in pairs]
    return Counts(sum(are_in_note), len(are_in_note), sum(are_in_note), len(are_in_note))


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z][a-z-]*[a-z]", text.lower()))
