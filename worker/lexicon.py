"""Names that the training text taught: how likely words are a mention wherever they stand.

A network that has seen a name a few times may doubt it in a new sentence; the lexicon remembers. It comes
with the adapter, as hashes, so that no reader of the file meets words of a note it was learnt from.
Words and signs are its pieces; case and white space do not count. No torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

FILE = "lexicon.json"
"""In the adapter's folder."""
_PIECE = re.compile(r"\w+|[^\w\s]")


class Known(NamedTuple):
    """Characters [start, end) that are known as a name under a label."""

    start: int
    end: int
    label: str
    log_odds: float
    """Of being a mention of this label against anything else."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """No name twice; the longest of several that begin at one place counts."""

    names: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """By the hash of a name: its label and log odds."""
    longest: int = 0
    """Pieces of the longest name."""

    @classmethod
    def read(cls, adapter: Path | None) -> Lexicon:
        """The one beside an adapter's weights; an empty one where there is none."""
        if adapter is None or not (adapter / FILE).is_file():
            return cls()
        stored = json.loads((adapter / FILE).read_text("utf-8"))
        names = {key: (label, odds) for label, some in stored["names"].items() for key, odds in some.items()}
        return cls(names, stored["longest"])

    def stored(self) -> dict[str, Any]:
        """As the file has it, by label."""
        labels = sorted({label for label, _ in self.names.values()})
        by_label = {
            label: {key: odds for key, (of, odds) in sorted(self.names.items()) if of == label}
            for label in labels
        }
        return {"longest": self.longest, "names": by_label}

    def found(self, text: str) -> list[Known]:
        """From left to right, none overlapping another."""
        pieces = list(_PIECE.finditer(text)) if self.names else []
        words = [piece.group().lower() for piece in pieces]
        known, place = [], 0
        while place < len(pieces):
            for length in range(min(self.longest, len(pieces) - place), 0, -1):
                name = self.names.get(_hash(words[place : place + length]))
                if name is not None:
                    known.append(Known(pieces[place].start(), pieces[place + length - 1].end(), *name))
                    place += length - 1
                    break
            place += 1
        return known


def key_of(name: str) -> tuple[str, int]:
    """A name's hash, and how many pieces it has."""
    words = [piece.lower() for piece in _PIECE.findall(name)]
    return _hash(words), len(words)


def _hash(words: Sequence[str]) -> str:
    return hashlib.blake2b(" ".join(words).encode("utf-8", "replace"), digest_size=8).hexdigest()
