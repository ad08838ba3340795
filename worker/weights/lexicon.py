"""Lexicon: log-odds of names and words, counted in the annotated training text.

The network may doubt a name that it has rarely seen, or tag a word that never was a mention; the lexicon
corrects both. The file beside the adapter stores names and words as hashes, so that it reveals no words of
training notes; endings, which many words share, are plain. Case and white space do not matter. Does not
import torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from worker.note.word_tokens import WordTokens

LEXICON_FILE = "lexicon.json"
"""Name of the file in the adapter's folder."""


class LexiconMatch(NamedTuple):
    """A name of the lexicon in a text: characters [start, end)."""

    start: int
    end: int
    label: str
    log_odds: float
    """Log-odds of being a mention of this label."""


class WordOdds(NamedTuple):
    """Log-odds of one word under one label; 0 is neutral."""

    alone: float = 0.0
    """Log-odds of being a mention by itself; never above 0, since names cover the positive cases."""
    first: float = 0.0
    """Log-odds of being the first word of a longer mention rather than the word before one."""
    last: float = 0.0
    """Log-odds of being the last word of a longer mention rather than the word after one."""


_NO_ODDS = WordOdds()
_MIN_ENDING, _MAX_ENDING = 3, 5
"""Letters of the endings that stand for unknown words; a word must be longer than its ending."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Names, words and endings with their log-odds."""

    names: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Label and log-odds by the hash of a name."""
    longest: int = 0
    """Number of word tokens of the longest name."""
    words: Mapping[str, Mapping[str, WordOdds]] = field(default_factory=dict)
    """By label, then by the hash of a word."""
    endings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By label, then by ending: log-odds of being a mention by itself, never above 0."""

    @classmethod
    def read(cls, adapter: Path | None) -> Lexicon:
        """The lexicon beside an adapter's weights; an empty one if there is none."""
        if adapter is None or not (adapter / LEXICON_FILE).is_file():
            return cls()
        stored = json.loads((adapter / LEXICON_FILE).read_text("utf-8"))
        names = {
            key: (label, odds) for label, entries in stored["names"].items() for key, odds in entries.items()
        }
        words = {
            label: {key: WordOdds(*odds) for key, odds in entries.items()}
            for label, entries in stored.get("words", {}).items()
        }
        return cls(names, stored["longest"], words, stored.get("endings", {}))

    def stored(self) -> dict[str, Any]:
        """The content of the file, by label."""
        labels = sorted({label for label, _ in self.names.values()})
        by_label = {
            label: {
                key: odds for key, (name_label, odds) in sorted(self.names.items()) if name_label == label
            }
            for label in labels
        }
        words = {
            label: {key: _without_trailing_zeros(odds) for key, odds in sorted(entries.items())}
            for label, entries in sorted(self.words.items())
        }
        endings = {label: dict(sorted(entries.items())) for label, entries in sorted(self.endings.items())}
        return {"longest": self.longest, "names": by_label, "words": words, "endings": endings}

    def matches(self, tokens: WordTokens) -> list[LexiconMatch]:
        """Names in the text, from left to right without overlaps; the longest one at each position."""
        matches, index, num_words = [], 0, len(tokens.words) if self.names else 0
        while index < num_words:
            for length in range(min(self.longest, num_words - index), 0, -1):
                name = self.names.get(hash_of(tokens.words[index : index + length]))
                if name is not None:
                    matches.append(LexiconMatch(tokens.starts[index], tokens.ends[index + length - 1], *name))
                    index += length - 1
                    break
            index += 1
        return matches

    def word_odds(self, label: str, word: str) -> WordOdds:
        """Log-odds of a word token, given in lower case."""
        entries = self.words.get(label)
        return entries.get(hash_of((word,)), _NO_ODDS) if entries else _NO_ODDS

    def single_word_log_odds(self, label: str, word: str) -> float:
        """Log-odds of one word being a mention by itself: those of the word, or else of its longest known
        ending."""
        key = hash_of((word,))
        odds = self.words.get(label, {}).get(key)
        if odds is not None or key in self.names:
            return odds.alone if odds is not None else 0.0
        endings = self.endings.get(label, {})
        return next((endings[ending] for ending in endings_of(word) if ending in endings), 0.0)


def endings_of(word: str) -> list[str]:
    """Endings of a word, longest first; empty for non-words and short words."""
    longest = min(_MAX_ENDING, len(word) - 1) if word.isalpha() else 0
    return [word[-length:] for length in range(longest, _MIN_ENDING - 1, -1)]


def _without_trailing_zeros(odds: WordOdds) -> list[float]:
    num_stored = max((number for number, value in enumerate(odds, start=1) if value), default=0)
    return list(odds[:num_stored])


def key_of(name: str) -> tuple[str, int]:
    """Hash of a name, and its number of word tokens."""
    words = WordTokens.of(name).words
    return hash_of(words), len(words)


def hash_of(words: Sequence[str]) -> str:
    """Hash of word tokens in lower case, as 16 hex digits."""
    return hashlib.blake2b(" ".join(words).encode("utf-8", "replace"), digest_size=8).hexdigest()
