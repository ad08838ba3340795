"""BIO decoding: from label-word probabilities to tagged mentions, by the Viterbi path over fused scores.

Arrays are [tokens, states] as in `worker/entities/mention_scores.py`. Does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.engine.prompting.label_words import TaggedLabel
from worker.entities.mention_scores import MentionScores
from worker.note.word_boundaries import is_boundary
from worker.note.word_tokens import CandidateSpan
from worker.weights.lexicon import Lexicon

_FORBIDDEN = np.float32(-1e9)
_EMPTY = Lexicon()


@dataclass(frozen=True, slots=True)
class TaggedMention:
    """A tagged mention: characters [start, end) of the tagged text with one label."""

    start: int
    end: int
    label: str
    probability: float


def decode_mentions(
    text: str,
    spans: Sequence[tuple[int, int]],
    log_probabilities: npt.NDArray[np.float32],
    labels: Sequence[TaggedLabel],
    lexicon: Lexicon = _EMPTY,
) -> list[TaggedMention]:
    """The mentions of a text, in order, disjoint, and made of whole words.

    `spans`: the token that each decision follows, in characters of `text`; `log_probabilities`: shape
    [tokens, 1 + 2 x labels]. docs/decisions/combining-mention-scores.md measures each step.
    """
    if not len(spans):
        return []
    names = [label.name for label in labels]
    scores = MentionScores.from_network(text, spans, log_probabilities, names).with_lexicon(lexicon)
    scores = scores.with_repeated_mentions(_best_path_mentions(scores))
    mentions, accepted = _best_path_mentions(scores), list[TaggedMention]()
    starts = [*(mention.start for mention in mentions), len(text)]
    for mention, next_start in zip(mentions, starts[1:], strict=True):
        bordered = scores.with_best_borders(mention, accepted[-1].end if accepted else 0, next_start, lexicon)
        single_word_odds = scores.single_word_log_odds(bordered, lexicon)
        if max(scores.log_odds(mention), scores.log_odds(bordered)) + single_word_odds > 0:
            accepted.append(TaggedMention(*bordered, _probability(scores, bordered, single_word_odds)))
    return accepted


def _best_path_mentions(scores: MentionScores) -> list[CandidateSpan]:
    """The mentions of the best legal path, widened to whole words.

    A path is legal if an inside state follows only the start or inside state of the same label.
    """
    path, labels = _viterbi(scores.scores), list(scores.label_indexes)
    mentions: list[CandidateSpan] = []
    position = 0
    while position < len(path):
        if path[position] == 0:
            position += 1
            continue
        label = (path[position] - 1) // 2
        end_position = position + 1
        while end_position < len(path) and path[end_position] == 2 * label + 2:
            end_position += 1
        start, end = _whole_words(scores.text, scores.starts[position], scores.ends[end_position - 1])
        if scores.has_tokens(start, end) and (not mentions or start >= mentions[-1].end):
            mentions.append(CandidateSpan(start, end, labels[label]))
        position = end_position
    return _merged(scores.text, mentions)


def _probability(scores: MentionScores, mention: CandidateSpan, single_word_odds: float) -> float:
    """The smallest label probability of its tokens, combined with the log-odds of a single word."""
    first, last = scores.tokens(mention.start, mention.end)
    start_state = 2 * scores.label_indexes[mention.label] + 1
    min_probability = float(
        np.exp(scores.scores[first:last, start_state : start_state + 2]).sum(axis=1).min()
    )
    odds = min_probability / max(1e-9, 1 - min_probability) * math.exp(single_word_odds)
    return odds / (1 + odds)


def _merged(text: str, mentions: Sequence[CandidateSpan]) -> list[CandidateSpan]:
    """Merges mentions of one label with only a space between them: one mention with two start tags.

    On 8 dev notes each, strict F1 rose from 0.586 to 0.636 (bc5cdr) and from 0.516 to 0.519 (maccrobat).
    """
    merged: list[CandidateSpan] = []
    for mention in mentions:
        if merged and merged[-1].label == mention.label and text[merged[-1].end : mention.start] == " ":
            mention = mention._replace(start=merged.pop().start)
        merged.append(mention)
    return merged


def _viterbi(scores: npt.NDArray[np.float32]) -> list[int]:
    """The best legal path, one state per token."""
    num_states = scores.shape[1]
    transitions = np.zeros((num_states, num_states), dtype=np.float32)
    for inside in range(2, num_states, 2):
        transitions[:, inside] = _FORBIDDEN
        transitions[[inside - 1, inside], inside] = 0.0
    best = scores[0].copy()
    best[2::2] = _FORBIDDEN
    back = np.zeros(scores.shape, dtype=np.intp)
    for step in range(1, len(scores)):
        reached = best[:, None] + transitions
        back[step] = reached.argmax(axis=0)
        best = reached.max(axis=0) + scores[step]
    path = [int(best.argmax())]
    for step in range(len(scores) - 1, 0, -1):
        path.append(int(back[step][path[-1]]))
    return path[::-1]


def _whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Trims white space from a span and widens it to the words that it cuts."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start == end:
        return start, end
    while not is_boundary(text, start):
        start -= 1
    while not is_boundary(text, end):
        end += 1
    return start, end
