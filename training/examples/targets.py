"""From an example to token ids and, at each decision, the set of words that would be right. No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.examples.task_examples import Example
from training.examples.training_sequences import ChoiceTarget, TrainingSequence
from worker.engine.api import Choice
from worker.engine.prompting.chat_template import Chat, token_positions
from worker.engine.prompting.label_words import ASSERTION_WORDS, SENTENCE_KINDS, TaggedLabel


def piece_of(example: Example, chat: Chat, labels: Sequence[TaggedLabel], kind: str) -> TrainingSequence:
    """The sequence as the engine builds it: prompt, then the copy, decisions after its tokens."""
    request = example.request
    encoded = chat.encode(request.prompt)
    copied, offsets = chat.plain_with_offsets(request.copy)
    rights = tuple(
        ChoiceTarget(
            places=[len(encoded.tokens) + place for place in token_positions(choice, offsets)],
            word_tokens=[chat.plain(word)[0] for word in choice.words],
            is_right=is_right,
        )
        for choice, is_right in _known(example, offsets, labels)
    )
    return TrainingSequence(kind, encoded.tokens + copied, encoded.shared_tokens, rights)


def _known(
    example: Example, offsets: list[tuple[int, int]], labels: Sequence[TaggedLabel]
) -> list[tuple[Choice, npt.NDArray[np.bool_]]]:
    if example.is_relevant:
        [choice] = example.request.choices
        return [(choice, np.array([[yes, not yes] for yes in example.is_relevant], dtype=np.bool_))]
    marks, kinds, _ = example.request.choices
    known = []
    if example.spans is not None:
        known.append((marks, _right_marks(example, offsets, labels)))
    if example.kinds is not None:
        rows = [[kind in some for kind in SENTENCE_KINDS] for some in example.kinds]
        known.append((kinds, np.array(rows, dtype=np.bool_)))
    if example.asserted:
        ends = tuple(end for end, _ in example.asserted)
        rows = [[said is one for one in ASSERTION_WORDS.values()] for _, said in example.asserted]
        known.append((Choice(tuple(ASSERTION_WORDS), ends), np.array(rows, dtype=np.bool_)))
    return known


def _right_marks(
    example: Example, offsets: list[tuple[int, int]], labels: Sequence[TaggedLabel]
) -> npt.NDArray[np.bool_]:
    nothing = np.zeros(1 + 2 * len(labels), dtype=np.bool_)
    nothing[0] = True
    for place, label in enumerate(labels):
        if label.name in example.unknown:
            nothing[1 + 2 * place : 3 + 2 * place] = True
    right = np.tile(nothing, (len(offsets), 1))
    column = {label.name: 1 + 2 * place for place, label in enumerate(labels)}
    for start, end, name in example.spans or ():
        covered = [
            i for i, (first, last) in enumerate(offsets) if first < end and last > start and last > first
        ]
        for i in covered:
            right[i] = False
            right[i, column[name] + (i != covered[0])] = True
    return right
