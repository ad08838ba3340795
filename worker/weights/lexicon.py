"""What the training text taught of names and words, whatever the network makes of them where they stand.

A network that has seen a name a few times may doubt it in a new sentence, or mark a word that never was a
mention; the lexicon remembers. It comes with the adapter, names and words as hashes, so that no reader of the
file meets words of a note it was learnt from; endings, which many words share, as they are. Case and white
space do not count. No torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from worker.note.word_tokens import WordTokens

FILE = "lexicon.json"
"""In the adapter's folder."""


class LexiconMatch(NamedTuple):
    """Characters [start, end) that are known as a name under a label."""

    start: int
    end: int
    label: str
    log_odds: float
    """Of being a mention of this label against anything else."""


class WordOdds(NamedTuple):
    """What is known of one word under one label, in log odds; 0 says nothing."""

    alone: float = 0.0
    """Of being a whole mention by itself; never above 0, names speak for that."""
    first: float = 0.0
    """Of being a longer mention's first word rather than the one before a mention."""
    last: float = 0.0
    """Of being a longer mention's last word rather than the one behind a mention."""


_NOTHING = WordOdds()
_LEAST_ENDING, _MOST_ENDING = 3, 5
"""Letters of an ending by which a word that is not known is judged; a word has more."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """No name twice; the longest of several that begin at one place counts."""

    names: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """By the hash of a name: its label and log odds."""
    longest: int = 0
    """Pieces of the longest name."""
    words: Mapping[str, Mapping[str, WordOdds]] = field(default_factory=dict)
    """By label, then by the hash of a word."""
    endings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By label, then by a word's last letters: log odds of a whole mention, never above 0."""

    @classmethod
    def read(cls, adapter: Path | None) -> Lexicon:
        """The one beside an adapter's weights; an empty one where there is none."""
        if adapter is None or not (adapter / FILE).is_file():
            return cls()
        stored = json.loads((adapter / FILE).read_text("utf-8"))
        names = {key: (label, odds) for label, some in stored["names"].items() for key, odds in some.items()}
        words = {
            label: {key: WordOdds(*odds) for key, odds in some.items()}
            for label, some in stored.get("words", {}).items()
        }
        return cls(names, stored["longest"], words, stored.get("endings", {}))

    def stored(self) -> dict[str, Any]:
        """As the file has it, by label."""
        labels = sorted({label for label, _ in self.names.values()})
        by_label = {
            label: {key: odds for key, (of, odds) in sorted(self.names.items()) if of == label}
            for label in labels
        }
        words = {
            label: {key: _without_last_zeros(odds) for key, odds in sorted(some.items())}
            for label, some in sorted(self.words.items())
        }
        endings = {label: dict(sorted(some.items())) for label, some in sorted(self.endings.items())}
        return {"longest": self.longest, "names": by_label, "words": words, "endings": endings}

    def found(self, pieces: WordTokens) -> list[LexiconMatch]:
        """Names from left to right, none overlapping another."""
        known, place, count = [], 0, len(pieces.words) if self.names else 0
        while place < count:
            for length in range(min(self.longest, count - place), 0, -1):
                name = self.names.get(hash_of(pieces.words[place : place + length]))
                if name is not None:
                    known.append(LexiconMatch(pieces.starts[place], pieces.ends[place + length - 1], *name))
                    place += length - 1
                    break
            place += 1
        return known

    def of_word(self, label: str, word: str) -> WordOdds:
        """`word`: one piece, in small letters."""
        some = self.words.get(label)
        return some.get(hash_of((word,)), _NOTHING) if some else _NOTHING

    def alone(self, label: str, word: str) -> float:
        """What is known against one word being a whole mention: of itself, else of how it ends."""
        key = hash_of((word,))
        known = self.words.get(label, {}).get(key)
        if known is not None or key in self.names:
            return known.alone if known is not None else 0.0
        endings = self.endings.get(label, {})
        return next((endings[ending] for ending in endings_of(word) if ending in endings), 0.0)


def endings_of(word: str) -> list[str]:
    """The longest first; none of what is no word, or hardly longer."""
    longest = min(_MOST_ENDING, len(word) - 1) if word.isalpha() else 0
    return [word[-length:] for length in range(longest, _LEAST_ENDING - 1, -1)]


def _without_last_zeros(odds: WordOdds) -> list[float]:
    said = max((place for place, one in enumerate(odds, start=1) if one), default=0)
    return list(odds[:said])


def key_of(name: str) -> tuple[str, int]:
    """A name's hash, and how many pieces it has."""
    words = WordTokens.of(name).words
    return hash_of(words), len(words)


def hash_of(words: Sequence[str]) -> str:
    """Of pieces in small letters."""
    return hashlib.blake2b(" ".join(words).encode("utf-8", "replace"), digest_size=8).hexdigest()
