"""What speaks for a stretch of a note being a mention, and how much, in log odds: they add up.

The network's scores come first. What it does not know well is added: names (`worker/weights/lexicon.py`), that the
same words mean the same throughout a note, and which words stand at a mention's border. Arrays are [tokens,
states]: state 0 is nothing, 2k+1 the start of label k, 2k+2 its inside. No torch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from worker.entities.repeated_mentions import recurring
from worker.note.word_boundaries import is_whole
from worker.note.word_tokens import Pieces, Stretch
from worker.weights.lexicon import Lexicon

_LEAST = -30.0
"""Log probabilities are not below this, so that odds are numbers even where an engine rules words out."""
_MOST = 12.0
"""Log odds of one place are cut to this before they are averaged over a note."""


@dataclass(frozen=True)
class Evidence:
    """For stretches of one text, against there being nothing."""

    text: str
    pieces: Pieces
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    """Of each token, in characters; no two have one in common."""
    numbers: Mapping[str, int]
    """Each label's k."""
    scores: npt.NDArray[np.float32]
    """Log probabilities."""

    @staticmethod
    def of_network(
        text: str,
        spans: Sequence[tuple[int, int]],
        log_probabilities: npt.NDArray[np.float32],
        labels: Sequence[str],
    ) -> Evidence:
        """`spans`: the token each row follows. Raises ValueError where rows and tokens differ in number."""
        if len(spans) != len(log_probabilities):
            raise ValueError(f"{len(spans)} tokens with {len(log_probabilities)} rows of scores")
        ends = tuple(end for _, end in spans)
        starts = tuple(max(start, before) for (start, _), before in zip(spans, (0, *ends), strict=False))
        numbers = {name: number for number, name in enumerate(labels)}
        scores = np.clip(np.nan_to_num(log_probabilities, nan=_LEAST), _LEAST, 0.0)
        return Evidence(text, Pieces.of(text), starts, ends, numbers, scores)

    def tokens(self, start: int, end: int) -> tuple[int, int]:
        """[first, last) of those that have any of these characters."""
        return bisect_right(self.ends, start), bisect_left(self.starts, end)

    def is_read(self, start: int, end: int) -> bool:
        """Whether any token has any of these characters."""
        first, last = self.tokens(start, end)
        return first < last

    def log_odds(self, one: Stretch) -> float:
        """Of being a mention from end to end; minus infinity where no token is."""
        first, last = self.tokens(one.start, one.end)
        if first >= last:
            return float("-inf")
        begin = 2 * self.numbers[one.label] + 1
        going_on = self._going_on[one.label]
        return float(self.scores[first, begin] - self.scores[first, 0] + going_on[last] - going_on[first + 1])

    @cached_property
    def _going_on(self) -> dict[str, npt.NDArray[np.float64]]:
        """By label, shape [tokens + 1]: the odds of going on, added up from the note's beginning."""
        inside = self.scores[:, 2::2].astype(np.float64) - self.scores[:, :1]
        sums = np.vstack([np.zeros((1, inside.shape[1])), inside.cumsum(axis=0)])
        return {label: sums[:, number] for label, number in self.numbers.items()}

    def with_names(self, lexicon: Lexicon) -> Evidence:
        """A known name's log odds for its start, for going on to its end, and against going on behind it."""
        scores = self.scores.copy()
        for one in lexicon.found(self.pieces):
            first, last = self.tokens(one.start, one.end)
            if one.label in self.numbers and first < last:
                begin = 2 * self.numbers[one.label] + 1
                scores[first, begin] += one.log_odds
                scores[first + 1 : last, begin + 1] += one.log_odds
                scores[last : last + 1, begin + 1] -= one.log_odds
        return self._with(scores)

    def with_same_words(self, marked: Sequence[Stretch]) -> Evidence:
        """What is `marked` in one place speaks for the others of the same words, and they against it.

        Each place's odds go half the way to the mean of all places (`worker/entities/repeated_mentions.py`).
        """
        scores = self.scores.copy()
        for places in recurring(self.text, self.pieces, marked):
            odds = [min(_MOST, max(-_MOST, self.log_odds(place))) for place in places]
            mean = sum(odds) / len(odds)
            for place, own in zip(places, odds, strict=True):
                first, last = self.tokens(place.start, place.end)
                if first < last:
                    scores[first, 2 * self.numbers[place.label] + 1] += (mean - own) / 2
        return self._with(scores)

    def bordered(self, mark: Stretch, low: int, high: int, lexicon: Lexicon) -> Stretch:
        """The likeliest within [low, high) of a mark and those with one word more or less at either end."""
        pieces, label = self.pieces, mark.label
        first, last = pieces.between(mark.start, mark.end)
        last -= 1
        if (pieces.starts[first], pieces.ends[last]) != (mark.start, mark.end):
            return mark
        begins = {place: lexicon.of_word(label, pieces.words[place]).first for place in self._near(first)}
        stops = {place: lexicon.of_word(label, pieces.words[place]).last for place in self._near(last)}
        best, chosen = self.log_odds(mark), mark
        for begin, stop in product(begins, stops):
            other = Stretch(pieces.starts[begin], pieces.ends[stop], label)
            if low <= other.start < other.end <= high and is_whole(self.text, other.start, other.end):
                odds = self.log_odds(other)
                odds += begins[begin] if begin < first else -begins[first] if begin > first else 0.0
                odds += stops[stop] if stop > last else -stops[last] if stop < last else 0.0
                if odds > best:
                    best, chosen = odds, other
        return chosen

    def against_alone(self, mark: Stretch, lexicon: Lexicon) -> float:
        """What the lexicon says against one word being a whole mention; 0 for several."""
        words = self.pieces.read(mark.start, mark.end)
        return lexicon.alone(mark.label, words[0]) if len(words) == 1 else 0.0

    def _near(self, place: int) -> list[int]:
        """A piece of a text, and its neighbours that are words and no signs."""
        words = self.pieces.words
        beside = [one for one in (place - 1, place + 1) if 0 <= one < len(words) and words[one][0].isalnum()]
        return [place, *beside]

    def _with(self, scores: npt.NDArray[np.float32]) -> Evidence:
        normalised = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        return Evidence(self.text, self.pieces, self.starts, self.ends, self.numbers, normalised)
