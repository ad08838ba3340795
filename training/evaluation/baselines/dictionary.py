"""Dictionary baseline: tags every occurrence of a training mention, longest match first."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.evaluation.metrics.span_matching import LabeledSpan
from training.evaluation.records.evaluation_data import DataError, Record, read_records

_LEAST_SHARE = 0.5
"""Least share of a name's occurrences that are mentions; other names are left out."""


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Names in lower case with their most frequent label."""

    label_of: Mapping[str, str]
    pattern: re.Pattern[str]

    @staticmethod
    def beside(path: Path) -> Dictionary:
        """The dictionary of the train.jsonl in the same folder. Raises DataError where there is none."""
        train = path.with_name("train.jsonl")
        if not train.is_file() or train == path:
            raise DataError(f"--baseline dictionary needs {train} to learn from.")
        return Dictionary.of(read_records(train))

    @staticmethod
    def of(records: Sequence[Record]) -> Dictionary:
        labels: dict[str, Counter[str]] = defaultdict(Counter)
        for record in records:
            for entity in record["entities"]:
                surface = record["text"][entity["start"] : entity["end"]].lower()
                labels[surface][entity["label"]] += 1
        everything = "\n".join(record["text"].lower() for record in records)
        counts = Counter(_any_of(labels).findall(everything))
        label_of = {
            surface: label_counts.most_common(1)[0][0]
            for surface, label_counts in labels.items()
            if len(surface) > 2 and label_counts.total() >= _LEAST_SHARE * counts[surface]
        }
        return Dictionary(label_of, _any_of(label_of))

    def __call__(self, text: str) -> list[LabeledSpan]:
        small = "".join(character.lower() if len(character.lower()) == 1 else character for character in text)
        return [LabeledSpan(*m.span(), self.label_of[m.group()]) for m in self.pattern.finditer(small)]


def _any_of(surfaces: Mapping[str, object]) -> re.Pattern[str]:
    """A pattern of whole words, the longest first; matches nothing without words."""
    longest_first = sorted(surfaces, key=lambda surface: (-len(surface), surface))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(?!\w)")
