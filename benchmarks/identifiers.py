"""How much of what names somebody is replaced before a note goes to a server, and how much else goes with it.

    python -m benchmarks.identifiers
    python -m benchmarks.identifiers --notes CORPUS/test.jsonl     (what is lost of annotated mentions)

Sixty invented sentences, what names somebody in [[ ]]: the rules were adjusted on the first thirty, and not
on the second. Found: every letter and digit of it is replaced (a year may stay). The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worker.privacy.identifier_detection import Identifier, identifiers_in

_FOLDER = Path(__file__).parent
_MARKED = re.compile(r"\[\[(.*?)\]\]")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")


@dataclass
class Measured:
    """Over some sentences."""

    marked: int = 0
    found: int = 0
    replaced_words: int = 0
    """Words of which anything was replaced."""
    of_those_marked: int = 0
    missed: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, float | int]:
        return {
            "marked": self.marked,
            "recall": round(self.found / self.marked, 3),
            "precision": round(self.of_those_marked / max(1, self.replaced_words), 3),
        }


def measured(path: Path) -> Measured:
    """Of a file with a sentence a line."""
    whole = Measured()
    for line in path.read_text("utf-8").splitlines():
        text, spans = _unmarked(line)
        replaced = identifiers_in(text)
        for start, end in spans:
            whole.marked += 1
            is_found = not _left(text, start, end, replaced)
            whole.found += is_found
            if not is_found:
                whole.missed.append(f"{text[start:end]}  in: {text}")
        for one in replaced:
            is_marked = any(start < one.end and one.start < end for start, end in spans)
            whole.replaced_words += 1
            whole.of_those_marked += is_marked
            if not is_marked:
                whole.needless.append(f"{text[one.start : one.end]}  in: {text}")
    return whole


def lost_mentions(path: Path) -> dict[str, float | int]:
    """Of annotated notes: which share of their mentions is touched, and so read under another word."""
    mentions = touched = 0
    for line in path.read_text("utf-8").splitlines():
        note = json.loads(line)
        spans = [(one.start, one.end) for one in identifiers_in(note["text"])]
        for entity in note["entities"]:
            mentions += 1
            touched += any(start < entity["end"] and entity["start"] < end for start, end in spans)
    return {"mentions": mentions, "touched": touched, "share": round(touched / max(1, mentions), 4)}


def _unmarked(line: str) -> tuple[str, list[tuple[int, int]]]:
    text, spans, end = "", [], 0
    for match in _MARKED.finditer(line):
        text += line[end : match.start()]
        spans.append((len(text), len(text) + len(match[1])))
        text += match[1]
        end = match.end()
    return text + line[end:], spans


def _left(text: str, start: int, end: int, found: Sequence[Identifier]) -> bool:
    """Whether a letter or digit of it is in no identifier, but for a year, which may stay."""
    years = {place for year in _YEAR.finditer(text) for place in range(*year.span())}
    covered = {place for one in found for place in range(one.start, one.end)} | years
    return any(text[place].isalnum() and place not in covered for place in range(start, end))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.identifiers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--notes", type=Path, help="a JSON line a note, with text and entities")
    parser.add_argument("--json", action="store_true", help="the last line alone")
    given = parser.parse_args(arguments)
    found = {name: measured(_FOLDER / f"identifiers_{name}.txt") for name in ("first", "second")}
    for line in () if given.json else _lines(found):
        print(line)
    figures: dict[str, object] = {name: one.figures() for name, one in found.items()}
    if given.notes:
        figures["notes"] = lost_mentions(given.notes)
    print(json.dumps(figures))
    return 0


def _lines(found: dict[str, Measured]) -> Iterator[str]:
    for name, one in found.items():
        yield from (f"{name}: missed {words}" for words in one.missed)
        yield from (f"{name}: needless {words}" for words in one.needless)


if __name__ == "__main__":
    sys.exit(main())
