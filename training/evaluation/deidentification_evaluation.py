"""Recall and precision of PHI detection on sixty invented sentences with identifiers in [[ ]].

    python -m training.evaluation.deidentification_evaluation
    python -m training.evaluation.deidentification_evaluation --notes CORPUS/test.jsonl

The rules were tuned on the first thirty sentences; the second thirty are held out. An identifier counts as
detected when all of its letters and digits are replaced; a year may stay. --notes also counts annotated
mentions that de-identification changes. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worker.privacy.identifier_detection import DetectedIdentifier, identifiers_in

_FOLDER = Path(__file__).parent
_BRACKETED_IDENTIFIER = re.compile(r"\[\[(.*?)\]\]")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")


@dataclass
class DetectionCounts:
    """Counts over the sentences of one file."""

    annotated: int = 0
    detected: int = 0
    replaced_words: int = 0
    """Detected words and numbers, right or wrong."""
    correct_words: int = 0
    """Detected words that overlap an annotated identifier."""
    missed: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)
    """Detected words that overlap none."""

    def figures(self) -> dict[str, float | int]:
        return {
            "marked": self.annotated,
            "recall": round(self.detected / self.annotated, 3),
            "precision": round(self.correct_words / max(1, self.replaced_words), 3),
        }


def count_detections(path: Path) -> DetectionCounts:
    """Counts for a file with one sentence a line."""
    counts = DetectionCounts()
    for line in path.read_text("utf-8").splitlines():
        text, spans = _without_brackets(line)
        replaced = identifiers_in(text)
        for start, end in spans:
            counts.annotated += 1
            is_detected = not _is_exposed(text, start, end, replaced)
            counts.detected += is_detected
            if not is_detected:
                counts.missed.append(f"{text[start:end]}  in: {text}")
        for identifier in replaced:
            is_annotated = any(start < identifier.end and identifier.start < end for start, end in spans)
            counts.replaced_words += 1
            counts.correct_words += is_annotated
            if not is_annotated:
                counts.needless.append(f"{text[identifier.start : identifier.end]}  in: {text}")
    return counts


def changed_mentions(path: Path) -> dict[str, float | int]:
    """Share of annotated mentions that de-identification changes, so that the network reads other words."""
    mentions = touched = 0
    for line in path.read_text("utf-8").splitlines():
        note = json.loads(line)
        spans = [(identifier.start, identifier.end) for identifier in identifiers_in(note["text"])]
        for entity in note["entities"]:
            mentions += 1
            touched += any(start < entity["end"] and entity["start"] < end for start, end in spans)
    return {"mentions": mentions, "touched": touched, "share": round(touched / max(1, mentions), 4)}


def sentences_file(name: str) -> Path:
    """The `first` (tuned) or `second` (held-out) thirty sentences."""
    return _FOLDER / f"deidentification_{name}.txt"


def _without_brackets(line: str) -> tuple[str, list[tuple[int, int]]]:
    text, spans, end = "", [], 0
    for match in _BRACKETED_IDENTIFIER.finditer(line):
        text += line[end : match.start()]
        spans.append((len(text), len(text) + len(match[1])))
        text += match[1]
        end = match.end()
    return text + line[end:], spans


def _is_exposed(text: str, start: int, end: int, identifiers: Sequence[DetectedIdentifier]) -> bool:
    """True if a letter or digit of the span is in no identifier and in no year."""
    years = {index for year in _YEAR.finditer(text) for index in range(*year.span())}
    covered = {
        index for identifier in identifiers for index in range(identifier.start, identifier.end)
    } | years
    return any(text[index].isalnum() and index not in covered for index in range(start, end))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluation.deidentification_evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--notes",
        type=Path,
        help="JSON lines of notes with text and entities: also count the mentions that change",
    )
    parser.add_argument("--json", action="store_true", help="print only the last line")
    given = parser.parse_args(arguments)
    by_file = {name: count_detections(sentences_file(name)) for name in ("first", "second")}
    for line in () if given.json else _lines(by_file):
        print(line)
    figures: dict[str, object] = {name: counts.figures() for name, counts in by_file.items()}
    if given.notes:
        figures["notes"] = changed_mentions(given.notes)
    print(json.dumps(figures))
    return 0


def _lines(by_file: dict[str, DetectionCounts]) -> Iterator[str]:
    for name, counts in by_file.items():
        yield from (f"{name}: missed {words}" for words in counts.missed)
        yield from (f"{name}: needless {words}" for words in counts.needless)


if __name__ == "__main__":
    sys.exit(main())
