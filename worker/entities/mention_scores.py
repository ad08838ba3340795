"""Mention scores: fuses the features that a span is a mention, as log-odds.

Adds to the scores of the network: the lexicon (`worker/weights/lexicon.py`), co-mention consistency within
the note, and the words at the border of a mention. Arrays are [tokens, states]: state 0 is outside, 2k+1 the
start of label k, 2k+2 its inside. Does not import torch.
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

_MIN_LOG_PROBABILITY = -30.0
"""Floor of log-probabilities, so that odds are finite where an engine returns no probability for a word."""
_MAX_LOG_ODDS = 12.0
"""Bound of the log-odds of one occurrence before they are averaged over a note."""


@dataclass(frozen=True)
class MentionScores:
    """Scores of the spans of one text, relative to the outside state."""

    text: str
    word_tokens: WordTokens
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    """End of each model token in characters; all different."""
    label_indexes: Mapping[str, int]
    """The index k of each label."""
    scores: npt.NDArray[np.float32]
    """Log-probabilities, shape [tokens, states]."""

    @staticmethod
    def from_network(
        text: str,
        spans: Sequence[tuple[int, int]],
        log_probabilities: npt.NDArray[np.float32],
        labels: Sequence[str],
    ) -> MentionScores:
        """The scores of the network. `spans`: the token that each row follows, in characters.

        Raises ValueError if the numbers of rows and tokens differ.
        """
        if len(spans) != len(log_probabilities):
            raise ValueError(f"{len(spans)} tokens with {len(log_probabilities)} rows of scores")
        ends = tuple(end for _, end in spans)
        starts = tuple(max(start, before) for (start, _), before in zip(spans, (0, *ends), strict=False))
        label_indexes = {name: number for number, name in enumerate(labels)}
        scores = np.clip(
            np.nan_to_num(log_probabilities, nan=_MIN_LOG_PROBABILITY), _MIN_LOG_PROBABILITY, 0.0
        )
        return MentionScores(text, WordTokens.of(text), starts, ends, label_indexes, scores)

    def tokens(self, start: int, end: int) -> tuple[int, int]:
        """The range [first, last) of the model tokens that overlap the characters [start, end)."""
        return bisect_right(self.ends, start), bisect_left(self.starts, end)

    def has_tokens(self, start: int, end: int) -> bool:
        """True if a model token overlaps the characters [start, end)."""
        first, last = self.tokens(start, end)
        return first < last

    def log_odds(self, span: CandidateSpan) -> float:
        """Log-odds that the whole span is one mention; minus infinity without a token."""
        first, last = self.tokens(span.start, span.end)
        if first >= last:
            return float("-inf")
        start_state = 2 * self.label_indexes[span.label] + 1
        continuation = self._continuation_log_odds[span.label]
        return float(
            self.scores[first, start_state]
            - self.scores[first, 0]
            + continuation[last]
            - continuation[first + 1]
        )

    @cached_property
    def _continuation_log_odds(self) -> dict[str, npt.NDArray[np.float64]]:
        """By label, shape [tokens + 1]: log-odds of the inside state, summed from the start of the text."""
        inside = self.scores[:, 2::2].astype(np.float64) - self.scores[:, :1]
        sums = np.vstack([np.zeros((1, inside.shape[1])), inside.cumsum(axis=0)])
        return {label: sums[:, number] for label, number in self.label_indexes.items()}

    def with_lexicon(self, lexicon: Lexicon) -> MentionScores:
        """Adds the log-odds of lexicon names to their start and inside states, and subtracts them after."""
        scores = self.scores.copy()
        for match in lexicon.matches(self.word_tokens):
            first, last = self.tokens(match.start, match.end)
            if match.label in self.label_indexes and first < last:
                start_state = 2 * self.label_indexes[match.label] + 1
                scores[first, start_state] += match.log_odds
                scores[first + 1 : last, start_state + 1] += match.log_odds
                scores[last : last + 1, start_state + 1] -= match.log_odds
        return self._normalized(scores)

    def with_repeated_mentions(self, tagged: Sequence[CandidateSpan]) -> MentionScores:
        """Adds co-mention consistency: occurrences of the same name in a note support or oppose each other.

        Moves the log-odds of each occurrence half the way to the mean of all occurrences of the name.
        """
        scores = self.scores.copy()
        for occurrences in repeated_mentions(self.text, self.word_tokens, tagged):
            odds = [min(_MAX_LOG_ODDS, max(-_MAX_LOG_ODDS, self.log_odds(span))) for span in occurrences]
            mean = sum(odds) / len(odds)
            for span, own in zip(occurrences, odds, strict=True):
                first, last = self.tokens(span.start, span.end)
                if first < last:
                    scores[first, 2 * self.label_indexes[span.label] + 1] += (mean - own) / 2
        return self._normalized(scores)

    def with_best_borders(
        self, mention: CandidateSpan, min_start: int, max_end: int, lexicon: Lexicon
    ) -> CandidateSpan:
        """The most probable of a mention and the spans with one word more or less at either end.

        Spans outside [min_start, max_end) are not considered.
        """
        word_tokens, words, label = self.word_tokens, self.word_tokens.words, mention.label
        first, last = word_tokens.token_range(mention.start, mention.end)
        last -= 1
        if (word_tokens.starts[first], word_tokens.ends[last]) != (mention.start, mention.end):
            return mention
        firsts = {
            index: lexicon.word_odds(label, words[index]).first for index in self._with_neighbours(first)
        }
        lasts = {index: lexicon.word_odds(label, words[index]).last for index in self._with_neighbours(last)}
        best_odds, best_span = self.log_odds(mention), mention
        for new_first, new_last in product(firsts, lasts):
            candidate = CandidateSpan(word_tokens.starts[new_first], word_tokens.ends[new_last], label)
            if min_start <= candidate.start < candidate.end <= max_end and is_whole(
                self.text, candidate.start, candidate.end
            ):
                odds = self.log_odds(candidate)
                odds += (
                    firsts[new_first] if new_first < first else -firsts[first] if new_first > first else 0.0
                )
                odds += lasts[new_last] if new_last > last else -lasts[last] if new_last < last else 0.0
                if odds > best_odds:
                    best_odds, best_span = odds, candidate
        return best_span

    def single_word_log_odds(self, mention: CandidateSpan, lexicon: Lexicon) -> float:
        """The lexicon's log-odds that a one-word mention is a mention by itself; 0 for several words."""
        words = self.word_tokens.words_in(mention.start, mention.end)
        return lexicon.single_word_log_odds(mention.label, words[0]) if len(words) == 1 else 0.0

    def _with_neighbours(self, index: int) -> list[int]:
        """The index of a word token, and those of its neighbours that are words rather than signs."""
        words = self.word_tokens.words
        beside = [i for i in (index - 1, index + 1) if 0 <= i < len(words) and words[i][0].isalnum()]
        return [index, *beside]

    def _normalized(self, scores: npt.NDArray[np.float32]) -> MentionScores:
        normalised = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        return MentionScores(
            self.text, self.word_tokens, self.starts, self.ends, self.label_indexes, normalised
        )
