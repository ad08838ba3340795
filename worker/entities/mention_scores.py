"""Mention scores: how the evidence for a span being a mention is combined, in log-odds.

The network's scores come first. The lexicon (`worker/weights/lexicon.py`), the consistency of equal words
within a note, and words at a mention's border are added. Arrays are [tokens, states]: state 0 is nothing,
2k+1 the start of label k, 2k+2 its inside. Does not import torch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from worker.entities.repeated_mentions import repeated_mentions
from worker.note.word_boundaries import is_whole
from worker.note.word_tokens import CandidateSpan, WordTokens
from worker.weights.lexicon import Lexicon

_LEAST = -30.0
"""Floor of log-probabilities, so that odds are finite where an engine rules words out."""
_MOST = 12.0
"""Bound of the log-odds of one position before they are averaged over a note."""


@dataclass(frozen=True)
class MentionScores:
    """Scores for spans of one text, against there being nothing."""

    text: str
    pieces: WordTokens
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    """End of each token in characters; all different."""
    numbers: Mapping[str, int]
    """Number k of each label."""
    scores: npt.NDArray[np.float32]
    """Log-probabilities."""

    @staticmethod
    def from_network(
        text: str,
        spans: Sequence[tuple[int, int]],
        log_probabilities: npt.NDArray[np.float32],
        labels: Sequence[str],
    ) -> MentionScores:
        """Scores of the network. `spans`: the token that each row follows. Raises ValueError where rows and
        tokens differ in number."""
        if len(spans) != len(log_probabilities):
            raise ValueError(f"{len(spans)} tokens with {len(log_probabilities)} rows of scores")
        ends = tuple(end for _, end in spans)
        starts = tuple(max(start, before) for (start, _), before in zip(spans, (0, *ends), strict=False))
        numbers = {name: number for number, name in enumerate(labels)}
        scores = np.clip(np.nan_to_num(log_probabilities, nan=_LEAST), _LEAST, 0.0)
        return MentionScores(text, WordTokens.of(text), starts, ends, numbers, scores)

    def tokens(self, start: int, end: int) -> tuple[int, int]:
        """[first, last) of the tokens that overlap these characters."""
        return bisect_right(self.ends, start), bisect_left(self.starts, end)

    def has_tokens(self, start: int, end: int) -> bool:
        """True where a token overlaps these characters."""
        first, last = self.tokens(start, end)
        return first < last

    def log_odds(self, one: CandidateSpan) -> float:
        """Log-odds of being a mention from end to end; minus infinity without a token."""
        first, last = self.tokens(one.start, one.end)
        if first >= last:
            return float("-inf")
        begin = 2 * self.numbers[one.label] + 1
        going_on = self._going_on[one.label]
        return float(self.scores[first, begin] - self.scores[first, 0] + going_on[last] - going_on[first + 1])

    @cached_property
    def _going_on(self) -> dict[str, npt.NDArray[np.float64]]:
        """By label, shape [tokens + 1]: cumulative log-odds of continuing from the start of the note."""
        inside = self.scores[:, 2::2].astype(np.float64) - self.scores[:, :1]
        sums = np.vstack([np.zeros((1, inside.shape[1])), inside.cumsum(axis=0)])
        return {label: sums[:, number] for label, number in self.numbers.items()}

    def with_lexicon(self, lexicon: Lexicon) -> MentionScores:
        """Adds a known name's log-odds to its start, to continuing to its end, and against continuing after
        it."""
        scores = self.scores.copy()
        for one in lexicon.matches(self.pieces):
            first, last = self.tokens(one.start, one.end)
            if one.label in self.numbers and first < last:
                begin = 2 * self.numbers[one.label] + 1
                scores[first, begin] += one.log_odds
                scores[first + 1 : last, begin + 1] += one.log_odds
                scores[last : last + 1, begin + 1] -= one.log_odds
        return self._with(scores)

    def with_repeated_mentions(self, marked: Sequence[CandidateSpan]) -> MentionScores:
        """Adds the co-mention consistency: what is `marked` in one position supports the same words
        elsewhere, and they oppose it. Each position's log-odds go half the way to the mean of all positions
        (`worker/entities/repeated_mentions.py`)."""
        scores = self.scores.copy()
        for places in repeated_mentions(self.text, self.pieces, marked):
            odds = [min(_MOST, max(-_MOST, self.log_odds(place))) for place in places]
            mean = sum(odds) / len(odds)
            for place, own in zip(places, odds, strict=True):
                first, last = self.tokens(place.start, place.end)
                if first < last:
                    scores[first, 2 * self.numbers[place.label] + 1] += (mean - own) / 2
        return self._with(scores)

    def with_best_borders(self, mark: CandidateSpan, low: int, high: int, lexicon: Lexicon) -> CandidateSpan:
        """The likeliest span within [low, high) among a mention and those with one word more or less at
        either end."""
        pieces, label = self.pieces, mark.label
        first, last = pieces.token_range(mark.start, mark.end)
        last -= 1
        if (pieces.starts[first], pieces.ends[last]) != (mark.start, mark.end):
            return mark
        begins = {place: lexicon.word_odds(label, pieces.words[place]).first for place in self._near(first)}
        stops = {place: lexicon.word_odds(label, pieces.words[place]).last for place in self._near(last)}
        best, chosen = self.log_odds(mark), mark
        for begin, stop in product(begins, stops):
            other = CandidateSpan(pieces.starts[begin], pieces.ends[stop], label)
            if low <= other.start < other.end <= high and is_whole(self.text, other.start, other.end):
                odds = self.log_odds(other)
                odds += begins[begin] if begin < first else -begins[first] if begin > first else 0.0
                odds += stops[stop] if stop > last else -stops[last] if stop < last else 0.0
                if odds > best:
                    best, chosen = odds, other
        return chosen

    def single_word_log_odds(self, mark: CandidateSpan, lexicon: Lexicon) -> float:
        """The lexicon's evidence against a single word being a whole mention; 0 for several words."""
        words = self.pieces.words_in(mark.start, mark.end)
        return lexicon.single_word_log_odds(mark.label, words[0]) if len(words) == 1 else 0.0

    def _near(self, place: int) -> list[int]:
        """A piece of a text, and its neighbours that are words and no signs."""
        words = self.pieces.words
        beside = [one for one in (place - 1, place + 1) if 0 <= one < len(words) and words[one][0].isalnum()]
        return [place, *beside]

    def _with(self, scores: npt.NDArray[np.float32]) -> MentionScores:
        normalised = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        return MentionScores(self.text, self.pieces, self.starts, self.ends, self.numbers, normalised)
